package signature

import "strings"

// programClass knows what goes wrong inside a program.
func programClass(w, low string) string {
	switch w {
	case "unhandledpromiserejection":
		return when(strings.HasPrefix(low, "[unhandledpromiserejection: "), "exception")
	case "libraries":
		return when(strings.Contains(low, "error while loading shared libraries"), "missing_library")
	case "object":
		return when(strings.Contains(low, "cannot open shared object file"), "missing_library")
	case "library":
		return when(has(low, "error loading shared library", "unable to load shared library", "cannot load library"), "missing_library")
	case "relocating":
		return when(strings.Contains(low, "error relocating"), "missing_library")
	case "version":
		return when(has(low, "version `glibc", "version `cxxabi", "version 'glibc", "version `glibcxx"), "missing_library")
	case "unsatisfiedlinkerror", "dllnotfoundexception":
		return "missing_library"
	case "elf":
		return when(strings.Contains(low, "invalid elf header"), "missing_library")

	case "modulenotfounderror", "importerror", "module_not_found", "err_module_not_found", "classnotfoundexception", "noclassdeffounderror", "loaderror", "gemnotfound":
		return when(!has(low, "shared object"), "missing_module")
	case "module":
		return when(has(low, "cannot find module", "module not found", "no module named", "could not find module"), "missing_module")
	case "package":
		return when(has(low, "cannot find package", "package not found"), "missing_module")
	case "class":
		return when(has(low, "could not find or load main class") || strings.HasSuffix(low, "\" not found") || strings.Contains(low, "class \"") && strings.Contains(low, "\" not found"), "missing_module")
	case "assembly":
		return when(strings.Contains(low, "could not load file or assembly"), "missing_module")
	case "load":
		return when(strings.Contains(low, "cannot load such file"), "missing_module")
	case "opening":
		return when(strings.Contains(low, "failed opening required"), "missing_module")
	case "gem":
		return when(strings.Contains(low, "could not find gem"), "missing_module")

	case "leaderelection":
		return when(has(low, "leaderelection lost", "leaderelection: lost"), "leader_election_lost")
	case "leader":
		return when(has(low, "leader election lost", "lost leader election", "leader lost", "lost the leader"), "leader_election_lost")
	case "lease":
		return when(has(low, "failed to renew lease", "lost lease", "lease lost", "lost the lease"), "leader_election_lost")
	case "leading":
		return when(strings.Contains(low, "stopped leading"), "leader_election_lost")
	case "leadership":
		return when(has(low, "lost leadership", "leadership lost"), "leader_election_lost")

	case "goroutines":
		return when(strings.Contains(low, "all goroutines are asleep - deadlock"), "deadlock")
	case "deadlock":
		return when(has(low, "deadlock detected", "deadlock found", "java-level deadlock"), "deadlock")

	case "assertionerror":
		return "assertion"
	case "assertion":
		return when(has(low, "assertion failed", "assertion `", "assertion '", "assertion error", "assertion violated") || strings.Contains(low, "assertion ") && strings.Contains(low, " failed"), "assertion")

	case "flywayexception", "flywayvalidateexception", "p3009":
		return "database_migration"
	case "liquibase":
		return when(has(low, "exception", "error", "fail"), "database_migration")
	case "alembic":
		return when(has(low, "can't locate revision", "error"), "database_migration")
	case "migration":
		if i := strings.Index(low, "migration "); i >= 0 && strings.Contains(low[i:min(len(low), i+60)], " failed") {
			return "database_migration"
		}
		return when(has(low, "migration failed", "failed migration", "error running migration", "error applying migration", "migration error", "failed to apply migration", "could not apply migration", "migration did not complete"), "database_migration")
	case "migrations":
		return when(has(low, "run migrations", "apply migrations", "migrations failed", "migrations have failed", "running migrations") && has(low, "fail", "error", "could not", "cannot", "unable"), "database_migration")
	case "dirty":
		return when(strings.Contains(low, "dirty database version"), "database_migration")

	case "segmentation":
		return when(has(low, "segmentation fault", "segmentation violation"), "native_crash")
	case "sigsegv", "sigbus", "sigill":
		return when(has(low, "sigsegv (", "sigbus (", "sigill (", "caught sigsegv", "received sigsegv", "signal sigsegv"), "native_crash")
	case "smashing":
		return when(strings.Contains(low, "stack smashing detected"), "native_crash")
	case "overflow":
		return when(strings.Contains(low, "buffer overflow detected"), "native_crash")
	case "corruption":
		return when(has(low, "double free or corruption", "memory corruption", "heap corruption"), "native_crash")
	case "corrupted":
		return when(has(low, "corrupted size vs", "corrupted double-linked list", "corrupted unsorted chunks", "corrupted top size"), "native_crash")
	case "free":
		return when(has(low, "free(): ", "double free detected"), "native_crash")
	case "malloc":
		return when(has(low, "malloc(): ", "malloc: "), "native_crash")
	case "addresssanitizer", "undefinedbehaviorsanitizer", "threadsanitizer", "memorysanitizer", "leaksanitizer":
		return "native_crash"
	case "floating":
		return when(strings.HasPrefix(low, "floating point exception"), "native_crash")
	case "breakpoint":
		return when(strings.HasPrefix(low, "trace/breakpoint trap"), "native_crash")
	case "bus":
		return when(strings.HasPrefix(low, "bus error"), "native_crash")
	case "illegal":
		return when(strings.HasPrefix(low, "illegal instruction"), "native_crash")
	}
	if c := settingClass(w, low); c != "" {
		return c
	}
	return usageClass(w, low)
}

// settingClass knows settings that are not there, and those that are wrong.
func settingClass(w, low string) string {
	switch w {
	case "set":
		if !has(low, "not set", "must be set", "should be set", "unset", "to be set", "not been set") {
			return ""
		}
		return when(has(low, "environment", "env ", "env var", "variable", "setting", "parameter", "must be set", "config", "required", "option", "null or not set", "_"), "missing_setting")
	case "unbound":
		return when(strings.Contains(low, "unbound variable"), "missing_setting")
	case "environment", "env", "envvar":
		return when(has(low, "missing", "required", "not defined", "undefined", "not found", "is empty", "not specified", "must be", "not provided", "notpresent", "environment variable not found") &&
			has(low, "variable", "env var", "envvar", " env ", "environment:"), "missing_setting")
	case "missing":
		return when(has(low, "missing required", "missing setting", "missing config", "missing environment", "missing env", "missing mandatory", "missing value for", "missing configuration"), "missing_setting")
	case "required":
		return when(has(low, "required key", "required setting", "required variable", "required parameter", "required property", "required configuration", "required config", "required env", "required option", "\" is required", "' is required") &&
			has(low, "missing", "not set", "is required", "not found", "empty", "not specified", "not provided"), "missing_setting")
	case "placeholder":
		return when(strings.Contains(low, "could not resolve placeholder"), "missing_setting")
	case "improperlyconfigured":
		return "config_error"
	case "attribute":
		return when(strings.Contains(low, "'url' attribute is not specified"), "missing_setting")
	case "notpresent":
		return "missing_setting"
	case "specified":
		return when(has(low, "password is not specified", "is not specified and", "must be specified", "need to specify one of"), "missing_setting")
	case "specify":
		return when(has(low, "you need to specify", "must specify"), "missing_setting")
	case "empty":
		return when(has(low, "setting must not be empty", "variable is empty", "variable must not be empty"), "missing_setting")

	case "config", "configuration", "configfile", "conf":
		return when(has(low, "invalid config", "failed to load config", "error loading config", "config error", "configuration error", "failed to parse config", "error parsing config", "failed to read config",
			"could not load config", "couldn't load config", "cannot load config", "unable to load config", "error reading config", "bad config", "invalid configuration", "config file error", "error in config",
			"configuration is invalid", "config is invalid", "config validation", "error validating config", "failed to validate config", "load configuration", "bad configuration", "configuration file /", "error unmarshaling config") &&
			(has(low, "error", "fail", "invalid", "bad", "not", "can't", "unable")), "config_error")
	case "yaml":
		return when(has(low, "yaml: ", "error parsing yaml", "parsing yaml file", "invalid yaml"), "config_error")
	case "toml":
		return when(has(low, "toml: ", "toml parse error"), "config_error")
	case "unmarshal":
		return when(has(low, "cannot unmarshal", "failed to unmarshal", "unmarshal errors"), "config_error")
	case "directive":
		return when(has(low, "unknown directive", "directive is not allowed here", "invalid number of arguments in"), "config_error")
	case "bean":
		return when(strings.Contains(low, "required a bean of type"), "config_error")
	}
	return ""
}

// namesSetting tells "DATABASE_URL is required": a name in capitals with an underscore,
// and right after it that it is not there.
func namesSetting(text, low string) bool {
	if !has(low, "required", "not set", "missing", "must be set", "not defined", "undefined", "is empty", "unset", "not provided", "must be provided") {
		return false
	}
	for i := 0; i < len(text); {
		if !word(text[i]) {
			i++
			continue
		}
		start, underscore, capital := i, false, true
		for i < len(text) && word(text[i]) {
			underscore = underscore || text[i] == '_'
			capital = capital && (text[i] < 'a' || text[i] > 'z')
			i++
		}
		if !underscore || !capital || i-start < 4 || digit(text[start]) {
			continue
		}
		rest := strings.TrimLeft(text[i:], "\"'`:) ")
		for _, verb := range [...]string{"is ", "was ", "are ", "has ", "environment ", "variable ", "not been ", "been "} {
			rest = strings.TrimPrefix(rest, verb)
		}
		for _, missing := range [...]string{"required", "not set", "missing", "must be set", "not defined", "undefined", "empty", "unset", "not provided", "must be provided", "not found in env", "must not be empty", "not specified"} {
			if strings.HasPrefix(rest, missing) {
				return true
			}
		}
	}
	return false
}

// usageClass knows command lines that a program does not understand.
func usageClass(w, low string) string {
	switch w {
	case "flag":
		return when(has(low, "unknown flag", "flag provided but not defined", "unknown shorthand flag", "flag needs an argument", "unknown command-line flag", "invalid flag"), "usage")
	case "flags":
		return when(has(low, "unknown command line flag") || strings.Contains(low, "required flag") && has(low, "not set", "not provided"), "usage")
	case "option":
		return when(has(low, "unrecognized option", "invalid option", "no such option", "unknown option", "bad option", "illegal option", "unrecognized vm option"), "usage")
	case "arguments":
		return when(has(low, "unrecognized arguments", "the following arguments are required", "the following required arguments were not provided", "too many arguments", "too few arguments", "not enough arguments"), "usage")
	case "argument":
		return when(has(low, "unexpected argument", "found argument '", "unknown argument", "requires an argument", "unrecognized argument", "missing argument", "missing required argument") ||
			strings.Contains(low, "invalid argument \"") && strings.Contains(low, "\" for "), "usage")
	case "arg":
		return when(strings.Contains(low, "arg(s), received"), "usage")
	case "operand":
		return when(strings.Contains(low, "missing operand"), "usage")
	case "command":
		return when(has(low, "unknown command \"", "unknown command: ", "unrecognized command", "unrecognized subcommand"), "usage")
	case "virtual":
		return when(strings.Contains(low, "could not create the java virtual machine"), "usage")
	case "usage":
		return when(strings.HasPrefix(low, "usage: ") || low == "usage:" || strings.HasPrefix(low, "usage of "), "usage")
	}
	return ""
}
