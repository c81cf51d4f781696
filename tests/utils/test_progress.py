"""The bar on stderr: the time left, where it takes long; nothing where it does not."""

from lewm_core.utils.progress import bar


def test_what_takes_long_has_a_bar_with_the_time_left(capsys):
    assert [i for i in bar(range(3), "decoder", "step")] == [0, 1, 2]
    assert capsys.readouterr() == ("", ""), "what is done at once needs none"
    with bar(desc="planning", unit="step", total=4, delay=0) as shown:
        shown.update(2)
        shown.refresh()
    out, err = capsys.readouterr()
    assert out == "" and "planning:  50%" in err and "2/4 [" in err and "<" in err
