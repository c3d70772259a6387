"""The kernels behind the page: those that have ended are left alone, those whose window still loads are kept."""

from datetime import UTC, datetime
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

# On a busy machine a cold browser was seen to take a minute until it connects to the kernel of its page.
LOADING = 600  # seconds


class Kernels(AsyncMappingKernelManager):
    """Kernels that the server ends once nobody is connected to them any more.

    A window asks for its kernel first and connects to it when its scripts have loaded. Until then the kernel may idle
    for ten minutes.

    The server lists its kernels and then waits for each in turn. One that its window ended meanwhile is no fault,
    and the person at the terminal is not told of it.
    """

    def __init__(self, **options: Any):
        super().__init__(**options)
        self._met: set[str] = set()

    def notify_connect(self, kernel_id: str) -> None:
        """Note that a window has connected to a kernel."""
        self._met.add(kernel_id)
        super().notify_connect(kernel_id)

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """End a kernel that has idled long enough, where it has not ended by itself."""
        if self._awaits_its_window(kernel_id):
            return
        try:
            await super().cull_kernel_if_idle(kernel_id)
        except Exception:
            if kernel_id in self:
                raise

    def _awaits_its_window(self, kernel_id: str) -> bool:
        last_activity = getattr(self._kernels.get(kernel_id), "last_activity", None)
        if last_activity is None or kernel_id in self._met:
            return False
        return (datetime.now(UTC) - last_activity).total_seconds() < LOADING
