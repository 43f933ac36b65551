"""The parts of report.html; each makes HTML of a `Dossier`."""
