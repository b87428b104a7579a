"""Releases as Airflow sees them: pinned, replaced, not there yet, and cleaned up after."""

from __future__ import annotations

import logging

import pytest
from airflow.dag_processing.bundles.base import (
    BundleUsageTrackingManager,
    BundleVersionLock,
    get_bundle_tracking_file,
)
from airflow.dag_processing.bundles.manager import DagBundlesManager

from controlplane.airflow.bundle import ReleaseBundle


def release(root, digest):
    folder = root / "releases" / digest
    folder.mkdir(parents=True, exist_ok=True)
    (root / "CURRENT").write_text(digest + "\n")
    return folder


def version(bundle):
    current = bundle.get_current_version()
    assert current is not None
    return current.version


def test_before_the_first_deploy_there_is_an_empty_folder(tmp_path):
    bundle = ReleaseBundle(name="early", root=str(tmp_path / "nothing"))
    bundle.initialize()
    assert list(bundle.path.iterdir()) == []
    assert bundle.get_current_version() is None
    bundle.refresh()
    folder = release(tmp_path / "nothing", "aaaa")
    bundle.refresh()
    assert bundle.path == folder


def test_a_refresh_finds_the_new_release_and_a_way_back(tmp_path):
    first = release(tmp_path, "aaaa")
    bundle = ReleaseBundle(name="plain", root=str(tmp_path))
    bundle.initialize()
    assert (bundle.path, version(bundle)) == (first, "aaaa")
    second = release(tmp_path, "bbbb")
    assert bundle.path == first
    bundle.refresh()
    assert (bundle.path, version(bundle)) == (second, "bbbb")
    release(tmp_path, "aaaa")
    bundle.refresh()
    assert bundle.path == first


@pytest.mark.parametrize(
    "how", ["CURRENT is gone", "the share is gone", "CURRENT is empty", "not readable"]
)
def test_b7_a_release_that_was_seen_is_kept(tmp_path, caplog, how):
    """Case B7: a share that is not mounted for a moment; all DAGs became stale, and nothing was
    logged."""
    root = tmp_path / "share"
    folder = release(root, "aaaa")
    bundle = ReleaseBundle(name=f"kept {how}", root=str(root))
    bundle.initialize()
    away = tmp_path / "away"
    match how:
        case "CURRENT is gone":
            (root / "CURRENT").rename(away)
        case "the share is gone":
            root.rename(away)
        case "CURRENT is empty":
            (root / "CURRENT").write_text("")
        case "not readable":
            (root / "CURRENT").unlink()
            (root / "CURRENT").mkdir()
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            bundle.refresh()
            assert (bundle.path, version(bundle)) == (folder, "aaaa")
    [said] = [record.getMessage() for record in caplog.records]
    assert str(root / "CURRENT") in said
    assert "release aaaa stays" in said


def test_b7_a_new_release_is_seen_when_the_share_is_back_and_a_new_failure_is_logged(
    tmp_path, caplog
):
    """Case B7: afterwards all is as before."""
    release(tmp_path, "aaaa")
    bundle = ReleaseBundle(name="back", root=str(tmp_path))
    bundle.initialize()
    for digest in ("bbbb", "cccc"):
        (tmp_path / "CURRENT").unlink()
        bundle.refresh()
        folder = release(tmp_path, digest)
        bundle.refresh()
        assert (bundle.path, version(bundle)) == (folder, digest)
    assert [record.getMessage().partition("release ")[2][:4] for record in caplog.records] == [
        "aaaa",
        "bbbb",
    ]


def test_b7_a_process_that_starts_meanwhile_shows_airflow_no_empty_folder(tmp_path):
    """Case B7: Airflow logs what `initialize` raises, and goes on with the DAGs that it knows."""
    root = tmp_path / "share"
    folder = release(root, "aaaa")
    ReleaseBundle(name="restarted", root=str(root)).initialize()
    root.rename(tmp_path / "away")
    late = ReleaseBundle(name="restarted", root=str(root))
    with pytest.raises(FileNotFoundError, match="not mounted"):
        late.initialize()
    (tmp_path / "away").rename(root)
    late.initialize()
    assert (late.path, version(late)) == (folder, "aaaa")


def test_a_run_stays_with_its_release(tmp_path):
    first = release(tmp_path, "aaaa")
    release(tmp_path, "bbbb")
    bundle = ReleaseBundle(name="pinned", root=str(tmp_path), version="aaaa")
    bundle.initialize()
    bundle.refresh()
    assert (bundle.path, version(bundle)) == (first, "aaaa")


def test_airflows_cleaner_finds_what_it_wants_to_remove(tmp_path):
    folder = release(tmp_path, "aaaa")
    bundle = ReleaseBundle(name="cleaned", root=str(tmp_path), version="aaaa")
    bundle.initialize()
    with BundleVersionLock(bundle_name="cleaned", bundle_version="aaaa"):
        pass
    manager = BundleUsageTrackingManager()
    [found] = manager._find_all_tracking_files("cleaned") or []
    manager._remove_stale_bundle("cleaned", found)
    assert not get_bundle_tracking_file("cleaned", "aaaa").exists()
    assert folder.is_dir()


@pytest.mark.airflow
def test_airflow_finds_it_by_its_settings():
    # Other tests of this process may have added theirs.
    [bundle] = [one for one in DagBundlesManager().get_all_dag_bundles() if one.name == "plane"]
    assert isinstance(bundle, ReleaseBundle)
    assert bundle.supports_versioning
