from .describe import describe_run as describe_run
from .samples import Sample as Sample
from .samples import draw_sample as draw_sample
from .states import Modelled as Modelled
from .states import arrange as arrange
from .states import fit as fit
from .states import fold as fold
from .states import infer as infer
from .states import tune as tune
from .summary import count_states as count_states
from .summary import find_median_stays as find_median_stays
from .summary import list_top_moves as list_top_moves
from .summary import summarise_run as summarise_run
from .transitions import analyse as analyse
from .transitions import grow as grow
from .watch import Stages as Stages
from .work import REPORT as REPORT
from .work import Work as Work
from .work import choose_stages as choose_stages
from .work import list_stale_files as list_stale_files

__all__ = [
    "REPORT",
    "Modelled",
    "Sample",
    "Stages",
    "Work",
    "analyse",
    "arrange",
    "choose_stages",
    "count_states",
    "describe_run",
    "draw_sample",
    "find_median_stays",
    "fit",
    "fold",
    "grow",
    "infer",
    "list_stale_files",
    "list_top_moves",
    "summarise_run",
    "tune",
]
