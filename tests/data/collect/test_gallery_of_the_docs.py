"""The gallery site that the docs collect from, by its shipped description."""

import runpy
import threading
from pathlib import Path

from bolid.data.collect.site import find_site
from tests.data.collect.gallery import LOOPBACK, ROOT, files, rows, run
from tests.data.fabricate import fabricate


def test_people_of_a_folder_are_collected_as_they_are(tmp_path):
    records = fabricate(tmp_path / "people", {"train": 5, "test": 1})
    script = runpy.run_path(str(ROOT / "docs/photos/gallery.py"))
    server = script["server"](tmp_path / "people", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site = tmp_path / "gallery.yaml"
    site.write_text(find_site("gallery").read_text().replace(":8000", f":{server.server_port}"))
    try:
        done = run(tmp_path / "photos", site, *LOOPBACK)
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    collected = files(tmp_path / "photos")
    served = {(record.identity, (tmp_path / "people" / record.file_name).read_bytes()) for record in records}
    unique = {content for _, content in served}
    assert set(collected.values()) == unique
    assert {(Path(name).parent.name, content) for name, content in collected.items()} <= served
    assert all(row["size"] for row in rows(tmp_path / "photos"))
