from .model import SentimentModel as SentimentModel
from .model import load_model as load_model
from .model import read_texts_file as read_texts_file
from .model import save_model as save_model
from .sentiment import Scored as Scored
from .sentiment import count_languages as count_languages
from .sentiment import score_text as score_text
from .sentiment import score_texts as score_texts
from .train import LEAST_LABELS as LEAST_LABELS
from .train import compare_labels as compare_labels
from .train import correlate as correlate
from .train import train_sentiment as train_sentiment

__all__ = [
    "LEAST_LABELS",
    "Scored",
    "SentimentModel",
    "compare_labels",
    "correlate",
    "count_languages",
    "load_model",
    "read_texts_file",
    "save_model",
    "score_text",
    "score_texts",
    "train_sentiment",
]
