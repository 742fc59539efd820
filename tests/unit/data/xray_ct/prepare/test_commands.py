from data.__main__ import main
from data.xray_ct.dataset import XrayCtSettings, XrayCtVolumes


def test_scans_can_be_prepared_from_the_command_line(tmp_path, nifti, head, capsys):
    source = nifti(tmp_path / "grey.nii.gz", (head + 1000) / 20)
    words = ["--intensity_range", "0", "203.55", "--size=16", "--xray-size", "24", "--variants=3"]
    words += ["--geometry", "cone", "--source_isocentre", "200", "--layout", "nifti_png"]
    out = tmp_path / "set"
    assert main(["xray_ct", "--source", str(source), "--out", str(out), *words]) == 0
    said = capsys.readouterr().out
    assert "ALL COME FROM ONE PATIENT" in said
    assert f"--set data.root={out}" in said
    volumes = XrayCtVolumes(XrayCtSettings(root=out, ct_size=16, xray_size=24), "train")
    assert volumes[0]["xrays"].shape == (2, 24, 24)


def test_phantoms_can_be_made_from_the_command_line(tmp_path, capsys):
    words = ["--size=8", "--xray_size=8", "--train=2", "--validation=1", "--test=1"]
    out = tmp_path / "set"
    assert main(["xray_ct_phantoms", "--out", str(out), "--layout", "x2ct_gan", *words]) == 0
    assert f"data.root={out} --set data.generate=null" in capsys.readouterr().out
    settings = XrayCtSettings(root=out, ct_size=8, xray_size=8)
    assert len(XrayCtVolumes(settings, "train")) == 2
    assert main(["xray_ct_phantoms", "--out", str(out), *words]) == 2
    assert "exists already" in capsys.readouterr().err


def test_an_option_out_of_range_is_one_sentence(tmp_path, capsys):
    words = ["--source", str(tmp_path), "--out", str(tmp_path / "set")]
    for more, said in (
        (["--energy", "5"], "--energy: found 5.0"),
        (["--intensity_range", "9", "3"], "intensity_range 9 3"),
    ):
        assert main(["xray_ct", *words, *more]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert said in error
