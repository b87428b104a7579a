"""Releases as Airflow sees them: pinned, replaced, not there yet, and cleaned up after."""

from __future__ import annotations

import pytest
from airflow.dag_processing.bundles.base import BundleUsageTrackingManager, BundleVersionLock, get_bundle_tracking_file
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
