from .load import list_ready_playbooks as list_ready_playbooks
from .load import load_playbook as load_playbook
from .load import parse_playbook as parse_playbook
from .objects import Activation as Activation
from .objects import Audience as Audience
from .objects import EventClass as EventClass
from .objects import Moment as Moment
from .objects import Outcome as Outcome
from .objects import Playbook as Playbook
from .objects import Segment as Segment
from .objects import Source as Source
from .objects import Stability as Stability
from .objects import State as State
from .objects import Target as Target
from .reader import Reader as Reader
from .yaml import MAX_BYTES as MAX_BYTES
from .yaml import Mapped as Mapped
from .yaml import Yaml as Yaml
from .yaml import read_yaml as read_yaml

__all__ = [
    "MAX_BYTES",
    "Activation",
    "Audience",
    "EventClass",
    "Mapped",
    "Moment",
    "Outcome",
    "Playbook",
    "Reader",
    "Segment",
    "Source",
    "Stability",
    "State",
    "Target",
    "Yaml",
    "list_ready_playbooks",
    "load_playbook",
    "parse_playbook",
    "read_yaml",
]
