//! Settings of packages in object stores: a part of the one table (`settings.rs`). Credentials are not among them: they are
//! found where the stores' own tools find them.

use super::form;
use super::settings::{Reach, Setting, Unset};
use super::values::Kind;

pub(crate) const STORES: [Setting; 3] = [
    Setting {
        name: "cache-dir",
        reach: Reach::Flag("DIRECTORY"),
        variables: &["PORTEND_CACHE_DIR"],
        kind: Kind::Text { form: form::PATH, set: |draft, path| draft.stores.cache_dir = Some(path) },
        default: Unset::Follows(
            "portend in XDG_CACHE_HOME, ~/.cache or the directory for temporary files",
            |_| None,
        ),
        secret: false,
        sentence: "Where copies of packages from a store lie",
        example: "/var/cache/portend",
    },
    Setting {
        name: "cache-disk",
        reach: Reach::Flag("SIZE"),
        variables: &["PORTEND_CACHE_DISK"],
        kind: Kind::Size { least: 0, most: 1 << 50, set: |draft, bytes| draft.stores.cache_disk = bytes },
        default: Unset::Is("8GiB"),
        secret: false,
        sentence: "How many bytes copies of packages from a store may take on the disk, besides those that are being read; \
                   those that were not used the longest go first",
        example: "50GiB",
    },
    Setting {
        name: "ca-file",
        reach: Reach::Flag("FILE"),
        variables: &["PORTEND_CA_FILE"],
        kind: Kind::Text { form: form::PATH, set: |draft, path| draft.stores.ca_file = Some(path) },
        default: Unset::Nothing,
        secret: false,
        sentence: "A file (PEM) with certificate authorities that stores may have certificates of, beside the system's",
        example: "/etc/ssl/certs/company.pem",
    },
];
