"""``penstock`` as a version that lays out its board otherwise: a program of tests."""

from penstock.cli.main import main
from penstock.control.upgrade import predecessor

if __name__ == "__main__":
    vars(predecessor)["SECTIONS"] = (("header", 0),)
    main()
