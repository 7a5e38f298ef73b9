"""The pages, a module per area; `ui/table.py` names them all."""
