"""Result -> tables, figures, page, timeline. Sees Result and nothing else."""
