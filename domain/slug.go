package domain

import "farshore/domain/errorcatalog"

const maxSlug = 63

// ValidSlug says whether s can be the id of a vault, site, host, policy, storage
// account or protected item: 1 to 63 lower-case letters, digits and hyphens,
// neither first nor last a hyphen.
func ValidSlug(s string) bool {
	if s == "" || len(s) > maxSlug || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// CheckSlug refuses a field whose value is not a slug.
func CheckSlug(field, value string) error {
	if ValidSlug(value) {
		return nil
	}
	return Reject(Invalid, errorcatalog.ValidationFailed,
		"%q is not 1 to 63 lower-case letters, digits and hyphens that begin and end with a letter or digit", value).At(field)
}

// CheckName refuses a field whose value is not a name people can read: 1 to 120
// bytes without control characters.
func CheckName(field, value string) error {
	const longest = 120
	if value == "" || len(value) > longest {
		return Reject(Invalid, errorcatalog.ValidationFailed, "a name has 1 to %d characters, this one %d", longest, len(value)).At(field)
	}
	for _, c := range value {
		if c < ' ' || c == 0x7f {
			return Reject(Invalid, errorcatalog.ValidationFailed, "a name has no control characters").At(field)
		}
	}
	return nil
}
