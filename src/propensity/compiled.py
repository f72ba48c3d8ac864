"""Where numba keeps what it compiled. Import this before a function is declared."""

from hashlib import sha256
from pathlib import Path

import numba

if not numba.config.CACHE_DIR:
    # Numba's cache is a pickle: it stays in the user's cache, away from every artifact. And it looks for changes in the
    # file of a function only, not in those of what the function calls: hence a folder for each state of these files.
    _here = Path(__file__).parent
    _files = [*(_here / "features").glob("*.py"), *(_here / "models").glob("tree_shap*.py")]
    _state = sha256(b"".join(file.read_bytes() for file in sorted(_files))).hexdigest()[:16]
    numba.config.CACHE_DIR = str(Path.home() / ".cache" / "propensity" / "numba" / _state)
