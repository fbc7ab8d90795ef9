//! The kernel out of its boot image, and modules out of their compression.
//!
//! Owns the reading of a bzImage's header (kernel: Documentation/arch/x86/boot.rst, protocol 2.08) and
//! the choice of the program that decompresses. `fetch` and `modules` call it. Why: an emulated
//! processor would take longer to decompress the kernel than to boot it. Invariant: what is not a boot
//! image is refused (`what_is_no_boot_image_is_refused`).

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::call::{Call, Fault};

/// Compressions that Debian's kernels and modules use: magic number, ending of the file's name, and
/// the program that takes it off.
const COMPRESSIONS: [(&[u8], &str, &str); 3] = [
    (b"\xfd7zXZ\0", "xz", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst", "zstd"),
    (b"\x1f\x8b", "gz", "gzip"),
];

/// Bytes behind a compressed kernel that say how long it is without compression.
const SIZE_FIELD: usize = 4;

/// Writes the uncompressed kernel of the boot image to `output`.
///
/// # Errors
/// When the image is none, or its compression is unknown.
pub(crate) fn kernel(image: &Path, output: &Path) -> Result<(), Fault> {
    let bytes = std::fs::read(image).map_err(Fault::file("read", image))?;
    let refusal = || Fault::Wrong(format!("{} is not a boot image of x86", image.display()));
    let payload = payload(&bytes).ok_or_else(refusal)?;
    decompress(payload, output)
}

/// Gives the compressed kernel inside a boot image.
fn payload(image: &[u8]) -> Option<&[u8]> {
    let number = |range: Range<usize>| {
        let bytes = image.get(range)?;
        Some(bytes.iter().rev().fold(0, |sum: usize, byte| (sum << 8) | usize::from(*byte)))
    };
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let sectors = match number(0x1f1..0x1f2)? {
        0 => 4,
        count => count,
    };
    let start = (sectors + 1) * 512 + number(0x248..0x24c)?;
    image.get(start..start + number(0x24c..0x250)?)
}

/// Writes to `output` what the bytes hold without their compression.
fn decompress(bytes: &[u8], output: &Path) -> Result<(), Fault> {
    let known = COMPRESSIONS.into_iter().find(|(magic, ..)| bytes.starts_with(magic));
    let unknown = || Fault::Wrong(format!("the compression of {} is unknown", output.display()));
    let (_, ending, program) = known.ok_or_else(unknown)?;
    let packed = PathBuf::from(format!("{}.{ending}", output.display()));
    // gzip says the length itself; behind the others it would be taken for another stream.
    let surplus = if program == "gzip" { 0 } else { SIZE_FIELD };
    let bytes = bytes.get(..bytes.len().saturating_sub(surplus)).unwrap_or_default();
    std::fs::write(&packed, bytes).map_err(Fault::file("write", &packed))?;
    expand(&packed, program)
}

/// Copies a module to `output`, its compression taken off.
///
/// # Errors
/// When it cannot be read, written or decompressed.
pub(crate) fn module(source: &Path, output: &Path) -> Result<(), Fault> {
    let ending = source.extension().unwrap_or_default();
    let copy = |to: &Path| std::fs::copy(source, to).map(drop).map_err(Fault::file("write", to));
    match COMPRESSIONS.into_iter().find(|(_, known, _)| ending == *known) {
        None => copy(output),
        Some((_, ending, program)) => {
            let packed = PathBuf::from(format!("{}.{ending}", output.display()));
            copy(&packed)?;
            expand(&packed, program)
        }
    }
}

/// Replaces a file by what it holds; its name loses the ending.
fn expand(packed: &Path, program: &str) -> Result<(), Fault> {
    let call = Call::new(program).args(["--decompress", "--force", "--quiet"]);
    let call = if program == "zstd" { call.arg("--rm") } else { call };
    call.arg(packed).output().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_where_the_header_says() {
        let mut image = vec![0; 5 * 512 + 16];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x1f1] = 3;
        image[0x248] = 0;
        image[0x249] = 2;
        image[0x24c] = 5;
        image[2560..2565].copy_from_slice(b"hello");
        assert_eq!(payload(&image), Some(b"hello".as_slice()));
    }

    #[test]
    fn what_is_no_boot_image_is_refused() {
        assert_eq!(payload(b"MZ"), None);
        assert_eq!(payload(&[0; 4096]), None);
        let mut beyond = vec![0; 1024];
        beyond[0x202..0x206].copy_from_slice(b"HdrS");
        beyond[0x24c] = 5;
        assert_eq!(payload(&beyond), None);
    }

    #[test]
    fn a_compressed_module_is_expanded() {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("a.ko");
        std::fs::write(&source, "module").unwrap();
        Call::new("gzip").arg("--keep").arg(&source).run().unwrap();
        let output = directory.path().join("b.ko");
        for name in ["a.ko", "a.ko.gz"] {
            module(&directory.path().join(name), &output).unwrap();
            assert_eq!(std::fs::read_to_string(&output).unwrap(), "module");
        }
    }
}
