"""``python -m accelsim``."""

from accelsim.cli import main

main(prog_name="accelsim")
