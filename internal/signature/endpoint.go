package signature

import (
	"net/netip"
	"strings"
)

// This file reads addresses as clients write them.

// endpoint is where something listens. A host is a name or, where ip is set, an address.
type endpoint struct {
	host, port string
	ip         bool
}

func (e *endpoint) String() string {
	host := e.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if e.port == "" {
		return host
	}
	return host + ":" + e.port
}

// endpointAt reads the address that s begins with: in quotes or brackets or without, with a
// scheme and with who asks before it or without, with a port behind it in any of the ways
// in which clients write one. What was only cut off a path, a sentence or a
// password is none.
func endpointAt(s string, l lead) (endpoint, bool) {
	const opening = " \"'`(<\\{"
	s = strings.TrimLeft(s, opening)
	quoted := false
	if !strings.HasPrefix(s, "[") {
		s = strings.TrimPrefix(s, "/") // Java's form of an address without a name
		if strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") {
			return endpoint{}, false
		}
	} else if end := strings.IndexByte(s, ']'); end > 0 && strings.Count(s[:end], ":") < 2 || end > 0 && strings.Contains(s[:end], "//") {
		s = strings.TrimLeft(s[1:], opening)
	}
	end := strings.IndexAny(s, " \t\"'`<>")
	if end < 0 {
		end = len(s)
	} else {
		quoted = s[end] == '"' || s[end] == '\'' || s[end] == '`'
	}
	token := s[:end]
	scheme := ""
	if i := strings.Index(token, "://"); i > 0 && schemeAt(token, i) == 0 {
		scheme = lowerASCII(token[:i])
		s, token = s[i+3:], token[i+3:]
		if strings.HasPrefix(token, "/") {
			if scheme != "dns" && scheme != "passthrough" {
				return endpoint{}, false // unix:///run/db.sock
			}
			s, token = s[1:], token[1:]
		}
	} else if i > 0 {
		return endpoint{}, false
	}
	if scheme == "unix" || scheme == "file" {
		return endpoint{}, false
	}
	skip, ok := userinfo(token, scheme)
	if !ok {
		return endpoint{}, false
	}
	s = s[skip:]
	sure := l.sure || skip > 0
	s = strings.TrimPrefix(s, "tcp(") // a DSN of Go's MySQL driver
	for _, family := range [...]string{"ipv4:", "ipv6:", "ipv4#", "ipv6#"} {
		s = strings.TrimPrefix(s, family)
	}

	if strings.HasPrefix(s, "[") {
		return bracketed(s)
	}
	n := 0
	for n < len(s) && n <= 255 && (word(s[n]) || s[n] == '-' || s[n] == '.') {
		n++
	}
	if e, ok := bareV6(s, l.splits); ok {
		return e, true
	}
	e := endpoint{host: strings.TrimRight(s[:n], ".")}
	if !e.valid() {
		return endpoint{}, false
	}
	e.port = portAfter(s[n:])
	// The port of a name may stand behind a dot that ends the sentence alone.
	if !sure && scheme == "" && !e.ip && e.port == "" && !quoted && e.host != "localhost" && !dotted(e.host) {
		return endpoint{}, false
	}
	if !e.ip {
		e.host = lowerASCII(e.host)
	}
	return e, scheme != "" || e.port != "" || quoted || !goesOn(e.host)
}

// goesOn tells a word by which a sentence goes on that names no host: "connect to host failed".
func goesOn(w string) bool {
	switch w {
	case "failed", "refused", "closed", "lost", "timed", "unreachable", "is", "was", "could", "cannot", "not", "and", "by", "with", "the", "a", "an", "this", "that", "port":
		return true
	}
	return false
}

// userinfo returns how much of a token stands before the host: the user and the password.
// False tells that it cannot be told what is what.
func userinfo(token, scheme string) (int, bool) {
	if !strings.Contains(token, "@") {
		return 0, true
	}
	authority := token
	if i := strings.IndexAny(token, "/?#"); i >= 0 {
		authority = token[:i]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		return i + 1, true
	}
	// An @ in the path, or a password with a slash in it. Those of the web have paths with one.
	web := strings.HasPrefix(scheme, "http") || scheme == "ws" || scheme == "wss" || scheme == "git"
	if web && !strings.Contains(authority, ":") {
		return 0, true
	}
	return 0, false
}

// bracketed reads "[fd00::5]:5432".
func bracketed(s string) (endpoint, bool) {
	end := strings.IndexByte(s, ']')
	if end < 0 || end > 64 {
		return endpoint{}, false
	}
	e := endpoint{host: s[1:end]}
	if !e.valid() || !e.ip {
		return endpoint{}, false
	}
	e.port = portAfter(s[end+1:])
	return e, true
}

// bareV6 reads an IPv6 address without brackets.
func bareV6(s string, splits bool) (endpoint, bool) {
	n := 0
	for n < len(s) && n < 64 && (digit(s[n]) || s[n] >= 'a' && s[n] <= 'f' || s[n] >= 'A' && s[n] <= 'F' || s[n] == ':' || s[n] == '.') {
		n++
	}
	text := strings.TrimRight(s[:n], ":.")
	if strings.Count(text, ":") < 2 {
		return endpoint{}, false
	}
	if splits {
		i := strings.LastIndexByte(text, ':')
		if e := (endpoint{host: text[:i]}); e.valid() && e.ip && portOf(text[i+1:]) != "" {
			e.port = text[i+1:]
			return e, true
		}
	}
	e := endpoint{host: text}
	if !e.valid() || !e.ip {
		return endpoint{}, false
	}
	e.port = portAfter(s[n:])
	return e, true
}

// valid tells that the host is an address or a name that can be reached, and notes which.
func (e *endpoint) valid() bool {
	if a, err := netip.ParseAddr(e.host); err == nil {
		a = a.Unmap()
		e.ip, e.host = true, a.WithZone("").String()
		return !a.IsUnspecified() && !a.IsMulticast()
	}
	h := e.host
	if h == "" || len(h) > 253 || strings.HasSuffix(h, ".sock") {
		return false
	}
	letter := false
	for label := range strings.SplitSeq(h, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		letter = letter || strings.Trim(label, "0123456789-_") != ""
	}
	return letter
}

// dotted tells a name of several labels, which no word of a sentence is, and no file or type.
func dotted(host string) bool {
	i := strings.LastIndexByte(host, '.')
	if i <= 0 || i == len(host)-1 || digit(host[i+1]) || host != lowerASCII(host) {
		return false
	}
	switch host[i+1:] {
	case "yaml", "yml", "json", "xml", "conf", "cfg", "ini", "toml", "properties", "go", "py", "js", "rb", "php", "sh", "sql", "db", "lock", "pid", "log", "txt", "jar", "pem", "key", "crt":
		return false
	}
	return true
}

// portAfter returns the port that stands after a host: ":5432", ", port 5432",
// "', 5432)", " (10.0.0.5), port 5432", "/10.0.0.5:5432" and the like.
func portAfter(s string) string {
	s = s[:min(len(s), 160)]
	for range 8 {
		s = strings.TrimLeft(s, "\"'`\\|")
		switch {
		case strings.HasPrefix(s, ":"):
			return portOf(strings.TrimLeft(s[1:], "`"))
		case strings.HasPrefix(s, "/<unresolved>"):
			s = s[len("/<unresolved>"):]
		case strings.HasPrefix(s, "/"):
			n := address(s[1:])
			if n == 0 {
				return ""
			}
			s = s[1+n:]
		case strings.HasPrefix(s, " (") || strings.HasPrefix(s, "("):
			i := strings.IndexByte(s, '(') + 1
			n := address(s[i:])
			if n == 0 {
				// (db)|10.0.0.5|:80, of wget
				end := strings.Index(s, ")|")
				if end < 0 {
					return ""
				}
				s = s[end+1:]
				continue
			}
			if s = s[i+n:]; !strings.HasPrefix(s, ")") {
				return ""
			}
			s = s[1:]
		case strings.HasPrefix(s, ", "), strings.HasPrefix(s, ","), strings.HasPrefix(s, " "):
			comma := s[0] == ','
			s = strings.TrimLeft(s, ", ")
			low := lowerASCII(s)
			for _, w := range [...]string{"port ", "port=", "port: ", "port:", "tcp port "} {
				if strings.HasPrefix(low, w) {
					return portOf(strings.TrimLeft(s[len(w):], " '\""))
				}
			}
			if comma { // ("db", 5432)
				if p := portOf(s); p != "" && strings.IndexAny(s[len(p):], ")}]") == 0 {
					return p
				}
				return ""
			}
			if i := strings.Index(low, "connections on port "); i >= 0 && strings.HasPrefix(low, "and accepting") {
				return portOf(s[i+len("connections on port "):])
			}
			if !strings.HasPrefix(s, "(") {
				return ""
			}
		default:
			if n := address(s); n > 0 { // |10.0.0.5|:80
				s = s[n:]
				continue
			}
			return ""
		}
	}
	return ""
}

// address returns the length of the IP address that s begins with.
func address(s string) int {
	n := 0
	for n < len(s) && n < 46 && (digit(s[n]) || s[n] >= 'a' && s[n] <= 'f' || s[n] == ':' || s[n] == '.') {
		n++
	}
	for end := n; end > 1; end-- {
		if end < n && s[end] != ':' && s[end] != '.' {
			continue
		}
		if _, err := netip.ParseAddr(s[:end]); err == nil {
			return end
		}
	}
	return 0
}

// portOf returns the port number that s begins with.
func portOf(s string) string {
	n, value := 0, 0
	for n < len(s) && n < 6 && digit(s[n]) {
		value = value*10 + int(s[n]-'0')
		n++
	}
	if n == 0 || n > 5 || value == 0 || value > 65535 || s[0] == '0' || n < len(s) && (word(s[n]) || s[n] == '@') {
		return ""
	}
	return s[:n]
}
