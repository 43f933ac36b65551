"""Workers that compile at the same time share Numba's cache on disk without getting in each other's way."""

import fcntl

from numba.core.caching import IndexDataCacheFile


def _save_alone(self, key, data, save=IndexDataCacheFile.save):
    """Numba picks the name of a new entry from the index it has read. Two processes that add different signatures of a
    function at once pick the same name, and one signature then finds the code of the other."""
    with open(f"{self._index_path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        save(self, key, data)


IndexDataCacheFile.save = _save_alone
