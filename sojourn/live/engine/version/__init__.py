"""One version of playbook and model, and all that it derives from the log.

In: the records of the log, one by one. Out: an :class:`Outcome` for each (changes to publish, profiles, quarantined
calls), and the state of every customer, to be read. A version knows neither the log nor the HTTP side; what it
published before it reads back through :class:`StoredFacts`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
