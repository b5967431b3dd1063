//go:build !unix

package sqlite

import "os"

// flock does nothing here; the terms in the history still refuse the older of two servers.
func flock(*os.File, bool) error { return nil }
