//! One cluster seen through its API: watching, waiting, applying, comparing live with rendered.
