"""Figures, image panels and widgets."""
