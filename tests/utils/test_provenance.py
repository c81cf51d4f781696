"""What a record of origin says in words."""

from lewm_core.utils.provenance import caption, data_label


def test_caption_says_profile_simulation_seeds_and_commit():
    line = caption({"profile": "quick", "data": "tabletop", "seeds": [0, 1, 2], "commit": "0123456789abcdef",
                    "dirty": True})
    assert line == "profile quick · data: tabletop, simulated · 3 seeds · commit 0123456789 with local changes"
    assert "simulated" not in caption({"data": "bridge"})
    assert "commit unknown" in caption({"commit": None})
    assert caption({"seeds": {"pilot": [0, 1], "full": 3}}) == "seeds: 2 pilot, 3 full"
    assert caption({"base": "", "seeds": 1}) == "1 seed"


def test_simulated_data_are_called_so():
    assert data_label("play") == "play, simulated" and data_label("bridge") == "bridge" and data_label(None) is None
