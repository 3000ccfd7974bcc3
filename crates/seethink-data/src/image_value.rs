//! Parsing of image columns: paths, bytes, base64, structures of these, one or several.

use crate::row::{Cell, cut};
use crate::{Fault, ImageOutside};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seethink_core::ImageSource;
use serde_json::Value;
use std::path::Path;

/// Parses the images of a row; paths are not yet joined to a folder.
///
/// A value is text or bytes, or a structure `{bytes, path}` as Hugging Face writes it, of which the
/// bytes count if there are any; or a list of such values. Text is a path, but for
/// `data:…;base64,…` and for base64 that begins with the signature of an image format. (The dot of
/// a file extension is not a base64 digit.)
///
/// # Errors
/// If the value is anything else; the error shows it.
pub(crate) fn parse(cell: &Cell) -> Result<Vec<ImageSource>, Fault> {
    match cell {
        Cell::Scalar(Value::Null) => Ok(Vec::new()),
        Cell::List(items) => items.iter().map(one).collect(),
        single => one(single).map(|image| vec![image]),
    }
}

fn one(cell: &Cell) -> Result<ImageSource, Fault> {
    match cell {
        Cell::Bytes(bytes) => Ok(ImageSource::Encoded(bytes.clone())),
        Cell::Scalar(Value::String(text)) => text_image(text),
        Cell::Struct(fields) => match (fields.get("bytes"), fields.get("path")) {
            (Some(bytes), _) => match one(bytes)? {
                ImageSource::Path(_) => Err(Fault::ImageValue(bytes.excerpt())),
                image => Ok(image),
            },
            (None, Some(Cell::Scalar(Value::String(path)))) => Ok(ImageSource::Path(path.into())),
            _ => Err(Fault::ImageValue(cell.excerpt())),
        },
        other => Err(Fault::ImageValue(other.excerpt())),
    }
}

fn text_image(text: &str) -> Result<ImageSource, Fault> {
    if let Some(uri) = text.strip_prefix("data:") {
        let data = uri.split_once(";base64,").and_then(|(_, data)| STANDARD.decode(data.trim()).ok());
        return data.map(|bytes| ImageSource::Encoded(bytes.into())).ok_or_else(|| Fault::ImageValue(cut(text)));
    }
    Ok(base64_picture(text).unwrap_or_else(|| ImageSource::Path(text.into())))
}

/// Decodes an image from base64 text, recognised by its first bytes.
fn base64_picture(text: &str) -> Option<ImageSource> {
    // Sixteen bytes identify a format, and the first characters of most paths show that they are
    // not base64.
    let head = STANDARD.decode(text.get(..24)?).ok()?;
    image::guess_format(&head).ok()?;
    STANDARD.decode(text.trim_end()).ok().map(|bytes| ImageSource::Encoded(bytes.into()))
}

/// Root folder of image paths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImageRoot<'a> {
    pub(crate) dir: &'a Path,
    /// Allow images outside the root.
    pub(crate) outside: bool,
}

impl ImageRoot<'_> {
    /// Resolves the path of an image relative to the root; other sources are returned as they are.
    ///
    /// # Errors
    /// If there is no such file, or it is outside the root, links followed.
    pub(crate) fn locate(&self, image: &ImageSource) -> Result<ImageSource, Fault> {
        let ImageSource::Path(written) = image else { return Ok(image.clone()) };
        let path = self.dir.join(written);
        if !path.is_file() {
            return Err(Fault::MissingImage(path));
        }
        self.check(written, &path)?;
        Ok(ImageSource::Path(path))
    }

    /// Checks that an existing file lies below the root; `written` is its path in the data set.
    ///
    /// # Errors
    /// If the file lies outside the root.
    pub(crate) fn check(&self, written: &Path, path: &Path) -> Result<(), Box<ImageOutside>> {
        if self.outside {
            return Ok(());
        }
        let dir = if self.dir.as_os_str().is_empty() { Path::new(".") } else { self.dir };
        // A path that the system cannot resolve counts as outside.
        let resolved = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let (found, root) = (resolved(path), resolved(dir));
        if root.is_absolute() && found.starts_with(&root) {
            return Ok(());
        }
        Err(Box::new(ImageOutside { written: written.display().to_string(), found, root }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Row;
    use std::io::Cursor;

    fn png() -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image::RgbImage::new(3, 2).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn text(text: impl Into<String>) -> Cell {
        Cell::Scalar(Value::String(text.into()))
    }

    fn structure(bytes: Cell, path: Cell) -> Cell {
        Cell::Struct(Row(vec![("bytes".into(), bytes), ("path".into(), path)]))
    }

    #[test]
    fn every_form_of_an_image_is_understood() {
        let encoded = ImageSource::Encoded(png().into());
        let base64 = STANDARD.encode(png());
        let null = || Cell::Scalar(Value::Null);
        for cell in [
            Cell::Bytes(png().into()),
            text(&base64),
            text(format!("{base64}\n")),
            text(format!("data:image/png;base64,{base64}")),
            structure(Cell::Bytes(png().into()), text("x.png")),
            structure(text(&base64), null()),
        ] {
            assert_eq!(parse(&cell).unwrap(), std::slice::from_ref(&encoded));
            assert_eq!(parse(&Cell::List(vec![cell.clone(), cell])).unwrap(), [encoded.clone(), encoded.clone()]);
        }
        for path in
            ["a.png", "DOCCI/images_downsampled_2x/test_00000.jpg", "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAA.png"]
        {
            let expected = [ImageSource::Path(path.into())];
            assert_eq!(parse(&text(path)).unwrap(), expected);
            assert_eq!(parse(&structure(null(), text(path))).unwrap(), expected);
        }
        assert_eq!(parse(&null()).unwrap(), []);
        assert_eq!(parse(&Cell::List(vec![])).unwrap(), []);
    }

    #[test]
    fn anything_else_is_shown() {
        let null = || Cell::Scalar(Value::Null);
        for (cell, expected) in [
            (Cell::Scalar(Value::from(7)), "7"),
            (Cell::List(vec![null()]), "null"),
            (structure(null(), null()), r#"{"bytes":null,"path":null}"#),
            (structure(text("x.png"), null()), "\"x.png\""),
            (text("data:image/png;base64,@"), "data:image/png;base64,@"),
            (text("data:image/png"), "data:image/png"),
        ] {
            let message = parse(&cell).unwrap_err().to_string();
            assert!(message.starts_with(&format!("the image is {expected}, expected ")), "{message}");
        }
    }

    fn path(path: impl Into<std::path::PathBuf>) -> ImageSource {
        ImageSource::Path(path.into())
    }

    #[test]
    fn only_paths_are_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x.png"), png()).unwrap();
        let root = ImageRoot { dir: dir.path(), outside: false };
        assert_eq!(root.locate(&path("x.png")).unwrap(), path(dir.path().join("x.png")));
        assert!(matches!(root.locate(&path("y.png")), Err(Fault::MissingImage(_))));
        let encoded = ImageSource::Encoded(png().into());
        assert_eq!(root.locate(&encoded).unwrap(), encoded);
    }

    #[test]
    fn images_lie_below_their_root_unless_they_may_lie_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (dir.path().join("root"), dir.path().join("rootless"));
        for (folder, name) in [(root.join("images"), "in.png"), (elsewhere.clone(), "out.png")] {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), png()).unwrap();
        }
        let mut inside = vec![path("images/in.png"), path("images/../images/in.png"), path(root.join("images/in.png"))];
        let mut outside =
            vec![path("../rootless/out.png"), path("images/../../rootless/out.png"), path(elsewhere.join("out.png"))];
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            symlink(elsewhere.join("out.png"), root.join("link.png")).unwrap();
            symlink("../rootless", root.join("folder")).unwrap();
            symlink("images/in.png", root.join("own.png")).unwrap();
            outside.extend([path("link.png"), path("folder/out.png")]);
            inside.push(path("own.png"));
        }
        let (strict, lax) = (ImageRoot { dir: &root, outside: false }, ImageRoot { dir: &root, outside: true });
        for image in &inside {
            assert!(strict.locate(image).is_ok(), "{image:?}");
        }
        for image in &outside {
            let message = strict.locate(image).unwrap_err().to_string();
            let expected = format!(
                "is {}, which is not below {}: expected a file there, or the setting `images_outside`",
                elsewhere.canonicalize().unwrap().join("out.png").display(),
                root.canonicalize().unwrap().display()
            );
            assert!(message.starts_with("the image \"") && message.ends_with(&expected), "{message}");
            assert!(lax.locate(image).is_ok(), "{image:?}");
        }
        #[cfg(unix)]
        {
            // A root that is a link itself contains the files of its target.
            std::os::unix::fs::symlink(&root, dir.path().join("alias")).unwrap();
            let alias = dir.path().join("alias");
            assert!(ImageRoot { dir: &alias, outside: false }.locate(&inside[0]).is_ok());
        }
    }
}
