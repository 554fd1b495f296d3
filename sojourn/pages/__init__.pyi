from .brief import TABLES as TABLES
from .brief import Format as Format
from .brief import render_brief as render_brief
from .brief import write_brief as write_brief
from .gaps import fill_gaps as fill_gaps
from .predictions import render_predictions as render_predictions
from .report import render_report as render_report
from .results import Results as Results
from .segments import render_segments as render_segments
from .stability import render_stability as render_stability

__all__ = [
    "TABLES",
    "Format",
    "Results",
    "fill_gaps",
    "render_brief",
    "render_predictions",
    "render_report",
    "render_segments",
    "render_stability",
    "write_brief",
]
