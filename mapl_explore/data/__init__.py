"""Preference sets: what they are, reading them in the formats people have, describing and writing them."""

from mapl_explore.data.describing import description, fault_lines
from mapl_explore.data.formats import FORMATS
from mapl_explore.data.messages import Message, Prompt, asked_text, prompt_text
from mapl_explore.data.reading import Reading, read_alike, read_all, read_sets, require_sets
from mapl_explore.data.records import json_record, records
from mapl_explore.data.sets import PreferenceSet
from mapl_explore.data.writing import require_output, write_sets

__all__ = [
    "FORMATS",
    "Message",
    "PreferenceSet",
    "Prompt",
    "Reading",
    "asked_text",
    "description",
    "fault_lines",
    "json_record",
    "prompt_text",
    "read_alike",
    "read_all",
    "read_sets",
    "records",
    "require_output",
    "require_sets",
    "write_sets",
]
