"""`python -m compare_gan`: the command line."""

from compare_gan.main import run

if __name__ == "__main__":
    run()
