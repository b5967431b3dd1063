package redact

import "strings"

// urls replaces the password of user:password@ in a URL of any scheme.
func urls() rule {
	return rule{keywords: []string{"://"}, replace: func(line string) (string, int) {
		var e edit
		for at := 0; ; {
			i := strings.Index(line[at:], "://")
			if i < 0 {
				return e.result(line)
			}
			at += i + len("://")
			if from, to, ok := userinfo(line, at, isWeb(line[:at])); ok && !isPlaceholder(line[from:to]) {
				e.replace(line, from, to)
				at = to
			}
		}
	}}
}

// isWeb tells whether what ends in "://" is a scheme of the web, whose paths often contain an '@'.
func isWeb(before string) bool {
	for _, scheme := range []string{"http://", "https://", "ws://", "wss://", "git://", "file://"} {
		if len(before) >= len(scheme) && strings.EqualFold(before[len(before)-len(scheme):], scheme) {
			return true
		}
	}
	return false
}

// userinfo returns where the password stands in a URL whose authority begins at i.
func userinfo(line string, i int, web bool) (from, to int, ok bool) {
	end := i
	for end < len(line) && !isSpace(line[end]) && line[end] >= ' ' && !isQuote(line[end]) && line[end] != '<' && line[end] != '>' {
		end++
	}
	url := line[i:end]
	authority := url
	if n := strings.IndexAny(url, "/?#"); n >= 0 {
		authority = url[:n]
	}
	colon := strings.IndexByte(authority, ':')
	at := strings.LastIndexByte(authority, '@')
	if at < 0 && colon >= 0 && (!web || !isPort(authority[colon+1:])) {
		// A password with a slash or the like in it that should have been escaped.
		at = strings.LastIndexByte(url, '@')
	}
	if at < 0 {
		return 0, 0, false
	}
	if colon < 0 || colon > at {
		// A token in place of a user, as git takes it.
		if user := url[:at]; len(user) >= 20 && strings.ContainsAny(user, "0123456789") && strings.IndexByte(user, '[') < 0 {
			return i, i + at, true
		}
		return 0, 0, false
	}
	return i + colon + 1, i + at, colon+1 < at
}

// isPort tells that what follows a colon is a port: a number, or the placeholder of one.
func isPort(s string) bool {
	s = strings.TrimRight(s, ".,;:)]}\\")
	return isNumber(s) || strings.HasPrefix(s, "%") || strings.HasPrefix(s, "$") || strings.HasPrefix(s, "{")
}
