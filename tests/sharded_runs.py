"""Two processes, each with parts of the weights: FSDP2 on the CPU, which accelerate itself leaves to GPUs.

Fine-tunes whole, again with an interruption after the first checkpoint, and goes on with that.
"""

import json
import sys

from accelerate import state
from accelerate.utils import DistributedType

from mapl_explore.models.processes import processes_of
from mapl_explore.models.sharded import is_sharded
from mapl_explore.training.finetuning import finetune
from mapl_explore.training.trainer import PreferenceTrainer

begin, log = state.AcceleratorState.__init__, PreferenceTrainer.log


def on_cpu(self, *args, fsdp_plugin=None, **options):
    begin(self, *args, fsdp_plugin=fsdp_plugin, **options)
    if fsdp_plugin is not None:
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
        state.PartialState._shared_state["distributed_type"] = DistributedType.FSDP


def ended(self, logs, start_time=None):
    assert is_sharded(self.model)
    if self.state.global_step == 3:
        raise KeyboardInterrupt
    log(self, logs, start_time)


def main(whole, cut, arguments):
    state.AcceleratorState.__init__ = on_cpu
    arguments = json.loads(arguments)
    with processes_of("cpu"):
        done = finetune(output=whole, **arguments)
        assert not is_sharded(done.model)
        PreferenceTrainer.log = ended
        try:
            finetune(output=cut, **arguments)
        except KeyboardInterrupt:
            PreferenceTrainer.log = log
        finetune(output=cut, resume=True, **arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
