package redact

import "strings"

// isSecret tells whether the value of a key of this family is one, and not a word
// that says something about it.
func isSecret(f family, line string, key int, v value) bool {
	text := line[v.from:v.to]
	if text == mark || isPlaceholder(text) || strings.HasPrefix(text, "//") {
		return false
	}
	if !v.quoted && strings.IndexByte("{[(", text[0]) >= 0 && !strings.HasPrefix(text, mark) {
		return false // something with keys of its own
	}
	// "key: words" without quotes is how people write, too.
	prose := v.sep == ':' && !v.quoted && !v.quotedKey
	if prose && key > 0 && (line[key-1] == '/' || line[key-1] == '\\') {
		return false // the name of a file, and what is wrong with it
	}
	if !v.quoted && isCommonWord(strings.ToLower(strings.TrimRight(text, ".,;:!?)"))) {
		return false
	}
	switch f {
	case weak:
		return (v.sep == '=' || v.quotedKey || v.sep == '>') && !isNumber(text) && !isMethod(strings.ToLower(text))
	case directory:
		return text[0] != '/' && text[0] != '.' && text[0] != '~'
	case kubeSecret:
		if isNamespacedName(text) || prose && followedByWord(line, v.to) && isWord(text) {
			return false
		}
	case token:
		if isNumber(text) && len(text) <= 5 || precededBy(line, key, "unexpected") ||
			prose && (len(text) < 6 || isWord(text) && followedByWord(line, v.to)) {
			return false
		}
	}
	return true
}

// isPlaceholder tells that a value stands for one: ${PASSWORD}, %s, {{ .Values.x }}, <nil>, ****.
func isPlaceholder(s string) bool {
	switch {
	case strings.HasPrefix(s, "${"), strings.HasPrefix(s, "$("), strings.HasPrefix(s, "{{"), strings.HasPrefix(s, "<"):
		return true
	case len(s) == 2 && s[0] == '%' && isLower(s[1]), s == "%+v":
		return true
	case len(s) > 1 && s[0] == '$' && strings.Trim(s[1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == "":
		return true
	}
	return strings.Trim(s, "*") == "" || strings.Trim(s, "xX") == "" || strings.Trim(s, ".") == "" || strings.EqualFold(s, "redacted")
}

// isCommonWord tells that a value is a word that logs say about a secret, or that
// stands for none.
func isCommonWord(s string) bool {
	switch s {
	case "true", "false", "null", "nil", "none", "undefined", "empty", "yes", "no", "on", "off", "ok", "set", "unset",
		"expired", "invalid", "valid", "missing", "required", "failed", "failure", "incorrect", "wrong", "denied", "rejected",
		"is", "are", "was", "must", "should", "cannot", "could", "can", "not", "unable", "unknown", "unexpected",
		"malformed", "error", "mismatch", "changed", "reset", "authentication", "unauthorized", "forbidden", "no-auth",
		"found", "loaded", "loading", "permission", "too", "the", "a", "an", "for", "from", "in", "to", "of", "and", "or", "with", "got", "received",
		"provided", "nothing", "[redacted]", "hidden", "masked", "optional", "default", "file", "failing", "refused":
		return true
	}
	return false
}

// isMethod tells the names of ways to authenticate.
func isMethod(s string) bool {
	switch strings.TrimRight(s, ",;.)") {
	case "plain", "basic", "digest", "kerberos", "gssapi", "ntlm", "md5", "trust", "peer", "oauth", "oauth2", "oidc", "jwt", "ldap",
		"saml", "cert", "mtls", "tls", "password", "token", "bearer", "scram-sha-256", "scram-sha-512", "enabled", "disabled", "anonymous", "iam":
		return true
	}
	return false
}

func isNumber(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// isWord tells that s is an ordinary word in lower case.
func isWord(s string) bool {
	s = strings.TrimRight(s, ".,;:!?")
	for i := range len(s) {
		if !isLower(s[i]) && s[i] != '\'' {
			return false
		}
	}
	return true
}

// followedByWord tells that after line[:i] comes a space and another ordinary word.
func followedByWord(line string, i int) bool {
	next := skipSpaces(line, i)
	if next == i || next >= len(line) {
		return false
	}
	end := next
	for end < len(line) && !isSpace(line[end]) {
		end++
	}
	return isWord(line[next:end])
}

func precededBy(line string, i int, word string) bool {
	before := strings.TrimRight(line[:i], " ")
	return len(before) >= len(word) && strings.EqualFold(before[len(before)-len(word):], word)
}

// isNamespacedName tells the name of a Secret as Kubernetes logs it: namespace/name.
func isNamespacedName(s string) bool {
	namespace, name, ok := strings.Cut(s, "/")
	return ok && isDNSName(namespace) && isDNSName(name)
}

func isDNSName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isLower(c) && !isDigit(c) && c != '-' && c != '.' {
			return false
		}
	}
	return s != "" && len(s) <= 253
}
