"""Who may come in."""

import stat

import pytest

from alerts.api import access
from alerts.api.access import FILE, Access, prepare
from zhiwei.errors import ZhiweiError


@pytest.fixture
def doors(tmp_path, clock):
    password = prepare(tmp_path)
    return Access(tmp_path, clock), password


def test_the_password_is_made_once_and_kept_only_as_a_hash(tmp_path):
    password = prepare(tmp_path)
    assert len(password.replace("-", "")) == 20
    assert prepare(tmp_path) is None
    kept = (tmp_path / FILE).read_bytes()
    assert password.encode() not in kept
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_two_installations_have_two_passwords(tmp_path):
    assert prepare(tmp_path / "a") != prepare(tmp_path / "b")


def test_the_right_password_opens_a_session_until_the_shift_is_over(doors, clock):
    checked, password = doors
    token = checked.sign_in("1.2.3.4", " 王芳 ", password)
    assert checked.session(token).name == "王芳"
    clock.advance(access.SESSION_S - 2)
    assert checked.session(token) is not None
    clock.advance(2)
    assert checked.session(token) is None


@pytest.mark.parametrize(("name", "password"), [("Li", "wrong"), ("Li", ""), (" ", None), ("x" * 65, None)])
def test_a_wrong_password_or_no_name_opens_none(doors, name, password):
    checked, right = doors
    assert checked.sign_in("1.2.3.4", name, right if password is None else password) is None


def test_a_session_that_was_signed_out_or_changed_is_none(doors):
    checked, password = doors
    token = checked.sign_in("1.2.3.4", "Li", password)
    body, _, signature = token.partition(".")
    for wrong in (None, "", ".", body, f"{body}.", f"{body}x.{signature}", f"{body}.{'0' * 64}", "é.é"):
        assert checked.session(wrong) is None
    checked.sign_out(checked.session(token))
    assert checked.session(token) is None


def test_a_session_of_another_installation_is_none(doors, tmp_path, clock):
    checked, password = doors
    prepare(tmp_path / "other")
    assert Access(tmp_path / "other", clock).session(checked.sign_in("1.2.3.4", "Li", password)) is None


def test_a_session_outlives_a_restart(doors, tmp_path, clock):
    checked, password = doors
    token = checked.sign_in("1.2.3.4", "Li", password)
    assert Access(tmp_path, clock).session(token) is not None


def test_each_failure_makes_the_same_address_wait_longer_and_no_other(doors, clock):
    checked, password = doors
    waits = []
    for _ in range(access.FREE_FAILURES + 3):
        assert checked.sign_in("1.2.3.4", "Li", "wrong") is None
        waits.append(checked.wait_s("1.2.3.4"))
        clock.advance(waits[-1])
    assert waits == pytest.approx([0] * (access.FREE_FAILURES - 1) + [2, 4, 8, 16])
    checked.sign_in("1.2.3.4", "Li", "wrong")
    assert checked.sign_in("1.2.3.4", "Li", password) is None, "also the right one has to wait"
    assert checked.sign_in("5.6.7.8", "Li", password) is not None
    clock.advance(checked.wait_s("1.2.3.4"))
    assert checked.sign_in("1.2.3.4", "Li", password) is not None
    assert checked.wait_s("1.2.3.4") == 0


def test_a_damaged_file_is_named_with_what_to_do(tmp_path, clock):
    with pytest.raises(ZhiweiError, match=r"console\.json: .*start again for a new password"):
        Access(tmp_path, clock)
    (tmp_path / FILE).write_bytes(b"{")
    with pytest.raises(ZhiweiError, match=r"remove it and start again"):
        Access(tmp_path, clock)
