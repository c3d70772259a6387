"""The kernels behind the page: those that have ended are left alone."""

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager


class Kernels(AsyncMappingKernelManager):
    """Kernels that the server ends once nobody is connected to them.

    The server lists its kernels and then waits for each in turn. One that its window ended meanwhile is no fault,
    and the person at the terminal is not told of it.
    """

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """End a kernel that has idled long enough, where it has not ended by itself."""
        try:
            await super().cull_kernel_if_idle(kernel_id)
        except Exception:
            if kernel_id in self:
                raise
