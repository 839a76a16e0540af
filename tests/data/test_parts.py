"""Arrays in the formats people have them in: the right pixels and labels, or one message in three parts."""

from __future__ import annotations

import gzip
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from bnexp.data.npz import fingerprint, load
from bnexp.errors import UserError


@pytest.fixture
def digits():
    """20 training and 6 test pictures of 3x3, three classes in turn; the first pixel is the picture's number."""
    x = np.random.default_rng(0).integers(0, 256, (26, 3, 3)).astype(np.uint8)
    x[:, 0, 0] = np.arange(26)
    y = np.arange(26) % 3
    return x[:20], y[:20], x[20:], y[20:]


def idx_bytes(array):
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def refusal(folder, path="."):
    with pytest.raises(UserError) as error:
        load(folder, path=str(folder / path))
    return error.value


def table(x, y=None, names=True, separator=",", end="\n", label="label"):
    head = [*([label] if y is not None else []), *(f"pixel{i}" for i in range(9))]
    rows = [[*([y[i]] if y is not None else []), *x[i].ravel()] for i in range(len(x))]
    return end.join(separator.join(map(str, row)) for row in ([head] if names else []) + rows) + end


def agrees(source, digits):
    x_train, y_train, x_test, y_test = digits
    np.testing.assert_array_equal(source.train.images[:, 0], x_train)
    np.testing.assert_array_equal(source.train.labels, y_train)
    np.testing.assert_array_equal(source.test.images[:, 0], x_test)
    np.testing.assert_array_equal(source.test.labels, y_test)


@pytest.mark.parametrize(
    "form",
    [{}, {"names": False}, {"separator": ";"}, {"separator": "\t"}, {"end": "\r\n"}, {"label": "Class"}, {"label": "target"}],
)
def test_two_tables_are_the_two_parts(tmp_path, digits, form):
    for name, x, y in (("mnist_train.csv", *digits[:2]), ("mnist_test.csv", *digits[2:])):
        (tmp_path / name).write_text(table(x, y, **form), newline="")
    agrees(load(tmp_path, path=str(tmp_path)), digits)


def test_kaggles_digits_are_read_with_a_fifth_for_testing_which_is_said(tmp_path, digits):
    x, y, others, _ = digits
    (tmp_path / "train.csv").write_text("\ufeff" + table(x, y))
    (tmp_path / "test.csv").write_text(table(others))
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n2,0\n")
    source = load(tmp_path, path=str(tmp_path))
    assert (len(source.train), len(source.test)) == (17, 3)
    assert sorted(source.test.labels.tolist()) == [0, 1, 2]
    for part in (source.train, source.test):
        for image, label in zip(part.images, part.labels, strict=True):
            np.testing.assert_array_equal(image[0], x[image[0, 0, 0]])
            assert label == y[image[0, 0, 0]]
    said = " ".join(source.facts["notes"])
    assert "sample_submission.csv left out" in said
    assert "test.csv left out, because it has no labels" in said
    assert "a fifth of each class drawn for testing, 3 of 20" in said
    alone = load(tmp_path, path=str(tmp_path / "train.csv"))
    assert alone.checksum == source.checksum


def test_labels_may_be_names_and_rows_numbered(tmp_path, digits):
    x, y, *_ = digits
    lines = ["id,label," + ",".join(f"p{i}" for i in range(9))]
    lines += [f'{i},"{["owl", "cat", "dog"][y[i]]}",' + ",".join(f'"{v}"' for v in x[i].ravel()) for i in range(20)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    source = load(tmp_path, path=str(tmp_path / "a.csv"))
    assert source.facts["classes"] == ["cat", "dog", "owl"]
    assert source.train.images.shape == (17, 1, 3, 3)
    assert any("columns 'id' left out" in note for note in source.facts["notes"])


def test_a_table_without_names_has_its_label_last_where_only_that_column_holds_classes(tmp_path, digits):
    for name, x, y in (("train.csv", *digits[:2]), ("test.csv", *digits[2:])):
        rows = [",".join(map(str, [*x[i].ravel(), y[i]])) for i in range(len(x))]
        (tmp_path / name).write_text("\n".join(rows) + "\n")
    source = load(tmp_path, path=str(tmp_path))
    agrees(source, digits)
    assert "the last column read as the label" in " ".join(source.facts["notes"])


def test_empty_lines_are_no_rows_and_no_warning(tmp_path, digits, recwarn):
    for name, x, y in (("train.csv", *digits[:2]), ("test.csv", *digits[2:])):
        (tmp_path / name).write_text(table(x, y, end="\n\n"))
    agrees(load(tmp_path, path=str(tmp_path)), digits)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("content", "what", "todo"),
    [
        (b"label,p0,p1,p2,p3\n", "t.csv holds no rows", "download or save it again"),
        (b"0,7,1,2,9\n1,7,3,2,9\n2,7,1,2,9\n3,7,1,5,9\n", "no label occurs twice", "the class of each picture in the first column"),
        (b"label;p0;p1;p2;p3\n0;0,1;0,2;0,3;0,4\n", "holds words where pixels would be", "sed 's/,/./g' "),
        ("label,p0\n0,1\n".encode("utf-16"), "is a text in UTF-16", "iconv -f UTF-16 -t UTF-8 "),
    ],
)
def test_a_table_that_can_be_mended_is_refused_with_the_way(tmp_path, recwarn, content, what, todo):
    (tmp_path / "t.csv").write_bytes(content)
    refused = refusal(tmp_path, "t.csv")
    assert what in refused.what
    assert refused.todo.startswith(todo)
    assert not recwarn.list


def test_a_workbook_is_told_as_what_it_is(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as book:
        book.writestr("xl/workbook.xml", "<workbook/>")
    refused = refusal(tmp_path, "t.xlsx")
    assert refused.what.endswith("t.xlsx is an Excel workbook")
    assert refused.todo.startswith("pandas.read_excel(")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("id,breed\n000bec18,boxer\n", "no column of t.csv is called label"),
        ("label,file\n1,a.png\n", "holds words where pixels would be"),
        ("label,class,p0\n1,1,2\n", "has 2 columns that could be the label"),
        ("a,b,c,d,e\n1,2,3,4,5\n", "no column of t.csv is called label"),
        ("label,p0,p1,p2,p3\n1,2,3,4,5\n1,2,3\n", "cannot be read"),
        ("label,p0,p1,p2,p3\n1,2,3,4,5\n1,2,x,4,5\n", "cannot be read"),
        ("label,p0,p1,p2\n" + "0,1,2,200\n1,2,3,200\n" * 9, "x_train must be"),
        ("label,p0,p1,p2,p3\n" + "0,1,2,200,nan\n1,2,3,200,4\n" * 9, "holds NaN"),
        ("label,", "holds no pixels"),
        ("ImageId,Label\n1,0\n", "holds no pixels"),
    ],
)
def test_a_table_that_is_not_plain_is_refused_in_words(tmp_path, content, what):
    (tmp_path / "t.csv").write_text(content)
    refused = refusal(tmp_path, "t.csv")
    assert what in refused.what
    assert refused.todo


@pytest.mark.parametrize(
    "names",
    [
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"),
        ("emnist-letters-train-images-idx3-ubyte", "emnist-letters-train-labels-idx1-ubyte",
         "emnist-letters-test-images-idx3-ubyte.gz", "emnist-letters-test-labels-idx1-ubyte.gz"),
        ("train_x", "train_y", "test_x", "test_y"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("given", ["", 0])
def test_idx_files_are_read_under_any_name(tmp_path, digits, names, given):
    for name, array in zip(names, digits, strict=True):
        content = idx_bytes(array)
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    (tmp_path / "README.md").write_text("no data")
    agrees(load(tmp_path, path=str(tmp_path / (names[0] if given == 0 else ""))), digits)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda c: c[:-3], "it states [20, 3, 3] and holds 177 bytes"),
        (lambda c: c + b"x", "holds more"),
        (lambda c: c[:4] + b"\xff" * 12, "more than half of the memory"),
        (lambda c: c[:9], "cannot be read"),
        (lambda c: gzip.compress(c)[:-12], "cannot be read"),
    ],
)
def test_damaged_idx_files_are_told_in_one_message(tmp_path, digits, content, why):
    (tmp_path / "train-images").write_bytes(content(idx_bytes(digits[0])))
    (tmp_path / "train-labels").write_bytes(idx_bytes(digits[1]))
    assert why in refusal(tmp_path).what


def test_idx_files_of_two_data_sets_in_one_folder_are_refused(tmp_path, digits):
    for name in ("digits", "letters"):
        (tmp_path / f"{name}-train-images").write_bytes(idx_bytes(digits[0]))
        (tmp_path / f"{name}-train-labels").write_bytes(idx_bytes(digits[1]))
    assert "not 2 and 2" in refusal(tmp_path).what


@pytest.mark.parametrize(
    ("labels", "names"),
    [(1, ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin")), (2, ("train.bin", "test.bin"))],
)
def test_cifars_binary_version_is_read(tmp_path, labels, names):
    x = np.random.default_rng(1).integers(0, 256, (6 * len(names), 3, 32, 32)).astype(np.uint8)
    y = np.arange(len(x)) % 3 + (40 if labels == 2 else 0)
    coarse = [np.zeros((len(x), 1), np.uint8)] * (labels - 1)
    rows = np.concatenate([*coarse, y[:, None], x.reshape(len(x), -1)], 1).astype(np.uint8)
    for name, part in zip(names, np.split(rows, len(names)), strict=True):
        (tmp_path / name).write_bytes(part.tobytes())
    source = load(tmp_path, path=str(tmp_path))
    np.testing.assert_array_equal(source.train.images, x[:-6])
    np.testing.assert_array_equal(source.train.labels, y[:-6] - y.min())
    np.testing.assert_array_equal(source.test.images, x[-6:])
    assert source.facts["classes"] == [str(name) for name in sorted(set(y))]


def test_a_bin_file_that_only_has_the_size_of_cifars_is_refused(tmp_path):
    (tmp_path / "train.bin").write_bytes(bytes([200]) * 3073 * 4)
    assert "a label is 200, beyond CIFAR's 10 classes" in refusal(tmp_path).what


def test_medmnists_names_are_read(tmp_path, digits):
    held = dict(zip(("train_images", "train_labels", "test_images", "test_labels"), digits, strict=True))
    held = {name: array[:, None] if array.ndim == 1 else array for name, array in held.items()}
    np.savez(tmp_path / "pneumoniamnist.npz", val_images=digits[2], val_labels=digits[3][:, None], **held)
    source = load(tmp_path, path=str(tmp_path / "pneumoniamnist.npz"))
    agrees(source, digits)
    assert "val_images, val_labels left out" in " ".join(source.facts["notes"])


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def parquet(tmp_path):
    """Writes a Parquet table of pictures as Hugging Face's are."""
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as files

    def save(name, x, y, image="image", label="label"):
        rows = [{"bytes": png(one), "path": None} for one in x]
        files.write_table(pyarrow.table({image: rows, label: [int(v) for v in y]}), tmp_path / name)

    return save


def test_parquet_tables_of_pictures_are_read(tmp_path, digits, parquet):
    parquet("train-00000-of-00002.parquet", digits[0][:10], digits[1][:10])
    parquet("train-00001-of-00002.parquet", digits[0][10:], digits[1][10:])
    parquet("test-00000-of-00001.parquet", digits[2], digits[3])
    agrees(load(tmp_path, path=str(tmp_path)), digits)


def test_a_parquet_table_alone_has_a_fifth_drawn_and_others_columns_are_named(tmp_path, digits, parquet):
    parquet("a.parquet", np.stack([digits[0]] * 3, -1), digits[1], image="img", label="fine_label")
    assert load(tmp_path, path=str(tmp_path / "a.parquet")).test.images.shape == (3, 3, 3, 3)
    parquet("b.parquet", digits[0], digits[1], image="face")
    assert refusal(tmp_path, "b.parquet").got == "columns face, label"
    (tmp_path / "c.parquet").write_bytes(b"PAR1" + bytes(99))
    assert "c.parquet is a Parquet table that cannot be read" in refusal(tmp_path, "c.parquet").what


def test_without_pyarrow_a_parquet_table_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(99))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert refusal(tmp_path, "a.parquet").todo.endswith("pip install pyarrow")


def test_a_folder_of_several_formats_and_one_without_a_training_part_are_refused(tmp_path, digits):
    (tmp_path / "one.csv").write_text(table(*digits[:2]))
    (tmp_path / "two.csv").write_text(table(*digits[:2]))
    assert "do not say which one is the training part" in refusal(tmp_path).what
    (tmp_path / "images").write_bytes(idx_bytes(digits[0]))
    assert "files of several formats" in refusal(tmp_path).what


def test_an_edited_file_of_several_is_another_data_set(tmp_path, digits):
    for name, x, y in (("train.csv", *digits[:2]), ("test.csv", *digits[2:])):
        (tmp_path / name).write_text(table(x, y))
    before = fingerprint(tmp_path, path=str(tmp_path))
    (tmp_path / "test.csv").write_text(table(255 - digits[2], digits[3]))
    assert fingerprint(tmp_path, path=str(tmp_path)) != before
