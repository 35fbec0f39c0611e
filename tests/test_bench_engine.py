"""What bench/engine.py measures and how it is told."""

from bench import engine


def test_both_engines_run_the_same_search() -> None:
    """A real cluster; other trials would end it."""
    found = engine.compare(rows=200, evals=3, workers=1, rounds=1)
    assert set(found["engines"]) == {"processes", "dask"}
    assert found["speed_of_local"] == found["engines"]["processes"]["s"] / found["engines"]["dask"]["s"]
    told = engine.text({**found, "speed_of_local": 0.934})
    assert "3 trials of 200 rows, 1 workers" in told
    assert told.endswith("0.93 of the speed of local processes.")


def test_both_engines_play_the_same_replay() -> None:
    """Another record would end it."""
    found = engine.replays(rows=800, windows=7, workers=1, rounds=1)
    assert found["speed_of_local"] == found["engines"]["here"]["s"] / found["engines"]["dask"]["s"]
    told = engine.text({**found, "speed_of_local": 1.5})
    assert "a replay in 7 windows of 800 rows, 1 workers" in told
    assert told.endswith("1.50 of the speed of one process.")
