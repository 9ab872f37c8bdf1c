"""The running application of this process, for the API and the pages alike."""

from freerelay_core.composition.application import Application, GradedDecision, SettingsView, current

__all__ = ["Application", "GradedDecision", "SettingsView", "current"]
