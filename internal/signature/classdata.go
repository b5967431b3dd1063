package signature

import "strings"

// dataClass knows what goes wrong between a program and what it stores or is served.
func dataClass(w, low string) string {
	switch w {
	case "connect":
		if !has(low, "can't connect to", "could not connect", "cannot connect", "can not connect", "failed to connect", "unable to connect", "couldn't connect") {
			return ""
		}
		// The number alone, as MySQL's clients give it.
		switch {
		case has(low, "(111)", "(111 "):
			return "connection_refused"
		case has(low, "(110)", "(110 "):
			return "timeout"
		case has(low, "(113)", "(113 "):
			return "network_unreachable"
		}
		return "connection_failed"
	case "exist", "exists":
		switch {
		case strings.Contains(low, "role \"") && strings.Contains(low, "does not exist"):
			return "auth_failed"
		case has(low, "database \"", "relation \"", "column \"", "schema \"", "table '", "table \"", "index_not_found") && has(low, "does not exist", "doesn't exist"):
			return "database_schema"
		case strings.Contains(low, "lock file") && strings.Contains(low, "already exists"):
			return "locked"
		}
	case "table":
		return when(strings.Contains(low, "no such table"), "database_schema")
	case "column":
		return when(has(low, "unknown column", "no such column"), "database_schema")
	case "database":
		switch {
		case strings.Contains(low, "unknown database"):
			return "database_schema"
		case strings.Contains(low, "database is locked"):
			return "locked"
		case strings.Contains(low, "database disk image is malformed"):
			return "data_corrupted"
		}
	case "lock", "locks":
		return when(has(low, "unable to lock ", "could not lock ", "failed to obtain node lock", "cannot acquire lock", "failed to acquire lock", "could not acquire lock", "lock db directory", "unable to obtain lock"), "locked")
	case "clients", "connections":
		return when(has(low, "too many clients already", "too many connections", "remaining connection slots are reserved", "max number of clients reached"), "too_many_connections")
	case "requests":
		return when(strings.Contains(low, "429 too many requests"), "rate_limited")
	case "rate":
		return when(has(low, "rate limit exceeded", "rate limit reached", "rate exceeded"), "rate_limited")
	case "checkpoint":
		return when(has(low, "valid checkpoint record", "invalid checkpoint"), "data_corrupted")
	case "checksum":
		return when(has(low, "checksum mismatch", "invalid checksum", "checksum failed"), "data_corrupted")
	case "corruption":
		return when(has(low, "corruption in segment", "data corruption", "index corruption", "corruption: "), "data_corrupted")
	case "compatible", "incompatible":
		return when(has(low, "not compatible with this version", "database files are incompatible"), "data_incompatible")
	case "featurecompatibilityversion":
		return when(has(low, "upgrade problem", "invalid featurecompatibilityversion", "wrong mongod version"), "data_incompatible")
	case "max_map_count":
		return when(has(low, "too low", "increase"), "kernel_setting")
	}
	return ""
}
