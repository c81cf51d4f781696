"""Image panels show the frames and signals they are given, and say which are missing."""

import numpy as np
from PIL import Image

from lewm_core.signals.extraction import ARRAYS, Signals
from lewm_core.sources.episode import Episode
from lewm_core.viz import images as pictures
from lewm_core.viz import pixels
from tests.viz.drawn import texts


def packet(missing=()):
    rng = np.random.default_rng(0)
    t, size, n = 12, 56, 40
    episode = Episode("e0", rng.integers(0, 255, (t, size, size, 3)).astype(np.uint8), np.zeros((t, 7), np.float32),
                      np.zeros((t, 7), np.float32), "put the can on the plate")
    mask = np.zeros((t, size, size), bool)
    mask[:, 20:30, 20:30] = True
    arrays = {"depth": rng.uniform(0.5, 1, (t, 56, 56)).astype(np.float32), "mask": mask,
              "tracks": rng.uniform(0, size, (t, n, 2)).astype(np.float32), "visible": np.ones((t, n), bool)}
    arrays |= {"tracks_fg": arrays["tracks"], "visible_fg": arrays["visible"]}
    arrays |= {name: None for name in missing}
    reasons = {name: f"No {name}, for a reason." for name in missing}
    return episode, Signals("e0", **dict.fromkeys(ARRAYS) | arrays, made_by={}, missing=reasons)


def test_packet_view_shows_rows_over_time_and_why_one_is_missing():
    fig = pictures.packet_view(*packet())
    assert len(fig.axes) == 5 * 8 and all(len(ax.images) == 1 for ax in fig.axes)
    assert "t = 0" in texts(fig) and "t = 11" in texts(fig)
    fig = pictures.packet_view(*packet(["depth"]))
    assert texts(fig).count("missing: No depth, for a reason.") == 2  # depth, and masked depth with it
    assert sum(len(ax.images) for ax in fig.axes) == 3 * 8
    assert "foreground" in texts(pictures.packet_view(*packet()))
    _, only_uniform = packet(["tracks_fg", "visible_fg"])
    _, nothing_found = packet()
    nothing_found.mask[0] = False  # then the "biased" queries are the uniform grid, and must not be called otherwise
    for signals in (only_uniform, nothing_found):
        assert "foreground" not in texts(pictures.packet_view(packet()[0], signals))


def test_masked_depth_is_black_outside_the_mask():
    depth, inside = np.full((4, 4), 1.0), np.eye(4, dtype=bool)
    image = pixels.draw_depth(depth, 0.5, 2.0, inside)
    assert (image[~inside] == 0).all() and image[inside].any(-1).all()
    near, far = pixels.draw_depth(np.array([[0.5, 2.0]]), 0.5, 2.0)[0].astype(int).sum(-1)
    assert near > far


def columns(n=4, size=8):
    frames = np.stack([np.full((size, size, 3), 40 * i, np.uint8) for i in range(n)])
    return [pictures.RolloutColumn("ground truth", frames),
            pictures.RolloutColumn("B retrieval", frames[::-1], "B", [f"e{i}\nd = {i}.5" for i in range(n)])]


def test_rollout_strip_shows_the_frames_of_the_chosen_steps():
    fig = pictures.rollout_strip(columns(), [1, 2, 5, 10], [2, 10], "a title")
    shown = [int(np.asarray(ax.images[0].get_array())[0, 0, 0]) for ax in fig.axes]
    assert shown == [40, 80, 120, 0]
    assert "+2" in texts(fig) and "e1 d = 1.5" in texts(fig) and "e0" not in texts(fig)


def test_rollout_animation_has_a_frame_per_step_and_is_repeatable(tmp_path):
    one = pictures.rollout_animation(columns(), [1, 2, 3, 4], tmp_path / "a.gif")
    two = pictures.rollout_animation(columns(), [1, 2, 3, 4], tmp_path / "b.gif")
    gif = Image.open(one)
    assert gif.n_frames == 4 and gif.info["duration"] == 600 and one.read_bytes() == two.read_bytes()
    for i in range(4):
        gif.seek(i)
        pixel = gif.convert("RGB").getpixel((6 + 80, 22 + 80))  # the middle of the first column
        assert np.abs(np.array(pixel) - 40 * i).max() < 12


def test_contact_sheet_marks_the_accepted():
    images = [np.zeros((8, 8, 3), np.uint8)] * 3
    fig = pictures.contact_sheet(images, ["one", "two", "three"], ncols=2, good=[True, False, True])
    styles = [ax.spines["left"].get_linestyle() for ax in fig.axes[:3]]
    assert styles[0] == styles[2] != styles[1] and "three" in texts(fig)
    assert "not run: there is no picture" in texts(pictures.contact_sheet([], [], 2))
