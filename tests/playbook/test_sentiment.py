"""Sentiment of texts: the lexicon against human ratings, learned models against scikit-learn, languages."""

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from sojourn.errors import SojournError
from sojourn.playbook.text.language import COMMON_WORDS, find_language
from sojourn.playbook.text.lexicon import clean_text, measure_polarity
from sojourn.playbook.text.model import list_terms, load_model, save_model
from sojourn.playbook.text.sentiment import count_languages, score_text, score_texts
from sojourn.playbook.text.train import compare_labels, correlate, train_sentiment

SOURCES = ("amazon_cells_labelled.txt", "imdb_labelled.txt.gz", "yelp_labelled.txt")


def read_tweets(data_dir: Path) -> tuple[list[str], np.ndarray]:
    with gzip.open(data_dir / "sentiment" / "tweets_GroundTruth.txt.gz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    return [row[2] for row in rows], np.array([float(row[1]) for row in rows])


def read_sentences(data_dir: Path, name: str) -> tuple[list[str], np.ndarray]:
    opened = gzip.open if name.endswith(".gz") else open
    with opened(data_dir / "sentiment" / name, "rt", encoding="utf-8", newline="\n") as file:
        rows = [line.rstrip("\n").rsplit("\t", 1) for line in file if line.strip()]
    return [row[0] for row in rows], np.array([int(row[1]) for row in rows])


def make_labelled(n: int = 240) -> tuple[list[str], list[int]]:
    rng = np.random.default_rng(3)
    good, bad, plain = (
        ["crisp", "snappy", "splendid"],
        ["soggy", "wobbly", "dreadful"],
        ["box", "lid", "cable", "screen"],
    )
    labels = [i % 2 for i in range(n)]
    texts = [
        f"the {rng.choice(plain)} was {rng.choice(good if y else bad)} and the {rng.choice(plain)} too" for y in labels
    ]
    return texts, labels


@pytest.mark.data
def test_the_lexicon_agrees_with_human_ratings_as_published(data_dir: Path) -> None:
    texts, ratings = read_tweets(data_dir)
    raw = np.array([measure_polarity(text).compound for text in texts])
    assert correlate(raw, ratings) == pytest.approx(0.872, abs=0.0006)  # computed from this file independently
    scores = np.array(score_texts(texts))
    known = np.isfinite(scores)
    assert known.mean() > 0.965  # all but some dozens are English
    assert correlate(scores[known], ratings[known]) > 0.874


@pytest.mark.data
@pytest.mark.slow
def test_a_learned_correction_passes_the_published_agreement_on_tweets_it_has_not_seen(data_dir: Path) -> None:
    model = train_sentiment(*read_tweets(data_dir))
    assert model.kind == "ratings"
    assert model.evaluation["correlation"] >= 0.88
    assert model.evaluation["correlation"] > model.evaluation["lexicon_correlation"] + 0.015


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "least", "learned"), [(SOURCES[0], 0.84, 0.86), (SOURCES[1], 0.78, 0.82), (SOURCES[2], 0.81, 0.85)]
)
def test_sentences_of_each_source(data_dir: Path, name: str, least: float, learned: float) -> None:
    texts, labels = read_sentences(data_dir, name)
    scores = np.array(score_texts(texts))
    assert np.isfinite(scores).mean() > 0.97
    assert compare_labels(np.nan_to_num(scores), labels)["accuracy"] > least
    found = train_sentiment(texts, labels).evaluation
    assert found["accuracy"] > learned
    assert found["accuracy"] > found["lexicon_accuracy"]


def test_an_applied_model_is_what_scikit_learn_predicts() -> None:
    texts, labels = make_labelled()
    model = train_sentiment(texts, labels)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    told = vectorizer.fit_transform(texts).toarray()
    lexicon = np.array([(s.compound, s.balance) for s in map(measure_polarity, texts)])
    theirs = LogisticRegression(C=10.0, max_iter=1_000).fit(np.hstack([told, lexicon]), labels)
    new = "the lid was soggy but the screen splendid, splendid"
    says = measure_polarity(new)
    inputs = np.hstack([vectorizer.transform([new]).toarray(), [[says.compound, says.balance]]])
    assert set(vectorizer.get_feature_names_out()) == set(model.terms)
    assert model.predict(new, "en") == pytest.approx(2 * theirs.predict_proba(inputs)[0, 1] - 1, abs=2e-4)


def test_a_saved_model_says_the_same_and_is_plain_json(tmp_path: Path) -> None:
    texts, labels = make_labelled()
    model = train_sentiment(texts, labels)
    path = tmp_path / "model.json"
    save_model(model, path)
    again = load_model(path)
    assert again == model
    assert again.key == model.key
    assert score_texts(texts, again) == score_texts(texts, model)
    assert set(json.loads(path.read_text())) >= {"format", "terms", "lexicon", "intercept", "evaluation"}


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": "other"}', '{"format": "sojourn-sentiment-1"}', "[" * 100_000]
)
def test_what_is_no_model_is_refused_in_words(tmp_path: Path, content: str) -> None:
    path = tmp_path / "model.json"
    path.write_text(content)
    with pytest.raises(SojournError, match="no sentiment model"):
        load_model(path)
    with pytest.raises(SojournError, match="cannot be read"):
        load_model(tmp_path / "missing.json")


def test_too_few_or_uniform_labels_are_refused() -> None:
    texts, labels = make_labelled(199)
    with pytest.raises(SojournError, match="199 labelled texts; it takes 200"):
        train_sentiment(texts, labels)
    with pytest.raises(SojournError, match="nothing to tell apart"):
        train_sentiment(texts + texts, [1] * 398)
    with pytest.raises(SojournError, match="fewer than 10"):
        train_sentiment(texts + texts, [1] * 390 + [0] * 8)
    with pytest.raises(SojournError, match="199 labels for 200 texts"):
        train_sentiment([*texts, "x"], labels)


FOREIGN = {
    "de": "Die Lieferung war leider viel zu spät und der Karton war kaputt.",
    "fr": "Je suis très déçu, le produit ne fonctionne pas.",
    "es": "La entrega fue muy rápida y el producto es excelente.",
    "it": "Sono molto contento, il prodotto è arrivato in tempo.",
    "nl": "Ik ben heel tevreden met de levering, het is snel gegaan.",
    "pt": "Não gostei, a qualidade é muito ruim e chegou com defeito.",
    "sv": "Jag är mycket nöjd med min beställning och det gick fort.",
    "da": "Jeg er ikke tilfreds med kvaliteten, og det var for dyrt.",
    "pl": "Jestem bardzo zadowolony, polecam ten sklep.",
    "tr": "Bu ürün çok güzel, herkese tavsiye ederim.",
    "fi": "Tuote on hyvä ja toimitus oli nopea.",
    "cs": "Zboží je velmi kvalitní a bylo dodáno včas.",
    "ro": "Sunt foarte mulțumit de produs și de livrare.",
    "hu": "Nagyon jó a minősége, de a szállítás nem volt gyors.",
    "id": "Barang ini sangat bagus dan tidak mahal.",
    "cyrillic": "Очень хороший товар, рекомендую",
    "greek": "Πολύ καλό προϊόν",
    "arabic": "منتج رائع جدا",
    "hiragana": "とてもよいです",
    "hangul": "정말 좋아요",
    "hebrew": "מוצר מעולה",
}
STRANGE = (
    "Bidhaa hii ni nzuri sana na imefika haraka",
    "Produkturinn var frábær og kom fljótt",
    "Prece ir loti laba, iesaku visiem draugiem",
    "Sản phẩm rất tốt giao hàng nhanh",
    "Toode saabus kiiresti, olen rahul",
)


@pytest.mark.parametrize("language", FOREIGN)
def test_other_languages_are_named_and_not_scored(language: str) -> None:
    found = score_text(FOREIGN[language])
    assert found.language == language
    assert math.isnan(found.score)


@pytest.mark.parametrize("text", STRANGE)
def test_languages_that_nobody_listed_are_not_taken_for_english(text: str) -> None:
    found = score_text(text)
    assert found.language != "en"
    assert math.isnan(found.score)


@pytest.mark.parametrize("text", ["I die for this", "so good", "war and peace was a great read", "Love it!!!"])
def test_english_that_looks_like_other_languages(text: str) -> None:
    assert score_text(text).language == "en"


@pytest.mark.parametrize("text", ["No.", "In an hour"])
def test_what_two_languages_may_say_is_not_guessed(text: str) -> None:
    assert score_text(text).language is None
    assert math.isnan(score_text(text).score)


def test_every_listed_language_has_words_of_its_own() -> None:
    for language, words in COMMON_WORDS.items():
        others = frozenset().union(*(known for other, known in COMMON_WORDS.items() if other != language))
        assert len(words - others) >= 15, language
    assert find_language("") is None
    assert find_language("² ½") is None


def test_signs_alone_are_read_in_any_language() -> None:
    assert score_text(":)").score > 0.3
    assert score_text("😢").score < -0.1
    assert math.isnan(score_text("12345").score)
    assert math.isnan(score_text(" \n ").score)


def test_cleaning_reads_what_people_type() -> None:
    assert clean_text("I looooove it&#33; It&#39;s sooo good") == "I love it! It's so good"
    assert clean_text("GOOOOD") == "GOOD"
    assert score_text("This is not good").score < 0 < score_text("This is good").score
    assert score_text("I loooove this").score == score_text("I love this").score


def test_the_memory_of_scores_holds_no_text() -> None:
    from sojourn.playbook.text import sentiment

    secret = "I adore the purple elephant of Mrs Smith"
    score_text(secret)
    assert not any(b"elephant" in key for key in sentiment._kept)
    assert not any("elephant" in repr(scored) for scored in sentiment._kept.values())


def test_a_model_knows_the_languages_of_its_texts_and_no_other() -> None:
    texts = [
        f"Das Produkt {i} ist {'wunderbar und ich bin froh' if i % 2 else 'kaputt und ich bin sauer'}"
        for i in range(220)
    ]
    model = train_sentiment(texts, [i % 2 for i in range(220)])
    assert model.languages == ("de",)
    assert score_text("Ich bin sehr froh, es ist wunderbar", model).score > 0.5
    assert math.isnan(score_text("I am very happy with it", model).score)
    assert count_languages(["Ich bin froh", "I am happy", ""], model) == {"scored": 1, "en": 1}


def test_terms_are_those_of_scikit_learn() -> None:
    text = "Don't buy: the X-9 isn't worth £5, naïve façade_3"
    theirs = TfidfVectorizer(ngram_range=(1, 2)).build_analyzer()(text)
    assert list_terms(text) == theirs


def test_ratings_become_scores_around_their_middle() -> None:
    texts, labels = make_labelled()
    stars = [5 if y else 1 + i % 4 // 2 for i, y in enumerate(labels)]
    model = train_sentiment(texts, stars)
    assert (model.kind, model.middle, model.half) == ("ratings", 3.0, 2.0)
    assert score_text(texts[1], model).score > 0.6 > -0.6 > score_text(texts[0], model).score
    assert model.evaluation["correlation"] > 0.9
