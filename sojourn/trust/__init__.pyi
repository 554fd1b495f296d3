from .fairness import audit_segments as audit_segments

__all__ = ["audit_segments"]
