package redact

import "strings"

// family is what a key says of its value.
type family byte

const (
	harmless family = iota
	// password: any value is secret, numbers and short ones too.
	password
	// token: also an ordinary word of parsers and of prose.
	token
	// kubeSecret: "secret", which in a cluster is often the name of one.
	kubeSecret
	// weak words are secret only where they are assigned with "=" or quoted.
	weak
	// directory: PWD is a path on Unix.
	directory
	// header is an Authorization header, whose scheme stays.
	header
	// cookies hold several values by name.
	cookies
	setCookie
)

// lastWords are the words that make a key secret as its last one.
func lastWord(word string) family {
	switch word {
	case "password", "passwd", "passphrase", "passcode", "apikey", "accesskey", "secretkey", "privatekey", "accountkey",
		"credential", "credentials", "creds", "connectionstring", "connstr":
		return password
	case "token":
		return token
	case "secret":
		return kubeSecret
	case "auth", "pass", "sig":
		return weak
	case "pwd":
		return directory
	case "authorization":
		return header
	case "cookie", "cookies":
		return cookies
	}
	for _, suffix := range []string{"password", "passwd", "secret", "token", "apikey", "accesskey", "secretkey", "privatekey"} {
		if strings.HasSuffix(word, suffix) {
			return password
		}
	}
	return harmless
}

// lastTwo judges a key by its last two words; ok is false where they say nothing
// that the last one does not.
func lastTwo(first, last string) (f family, ok bool) {
	switch last {
	case "key":
		switch first {
		case "api", "access", "private", "secret", "account", "signing", "encryption", "master", "storage", "shared",
			"subscription", "ssh", "deploy", "hmac", "aes", "decryption", "auth", "session", "service":
			return password, true
		}
	case "token":
		switch first {
		case "page", "next", "continuation", "continue", "pagination", "cancellation", "sync", "max", "per", "num", "unexpected", "eos", "bos", "pad", "stop":
			return harmless, true
		}
		return password, true
	case "secret":
		return password, true
	case "string", "str":
		if first == "connection" || first == "conn" {
			return password, true
		}
	case "pass":
		return password, true
	case "hash":
		if first == "password" {
			return password, true
		}
	case "base":
		if first == "key" { // SECRET_KEY_BASE
			return password, true
		}
	case "signature":
		if first == "amz" {
			return password, true
		}
	case "authorization":
		return header, true
	case "cookie":
		if first == "set" {
			return setCookie, true
		}
	}
	return harmless, false
}

// judge tells what a key says of its value. Words are told apart by '_', '-', '.'
// and by case; a number at the end is passed over.
func judge(key string) family {
	key = strings.TrimRight(key, "0123456789_-.")
	last, rest := cutLastWord(key)
	first, _ := cutLastWord(rest)
	if f, ok := lastTwo(strings.ToLower(first), strings.ToLower(last)); ok && first != "" {
		return f
	}
	return lastWord(strings.ToLower(last))
}

// cutLastWord returns the last word of a key and what stands before it.
func cutLastWord(key string) (last, rest string) {
	key = strings.TrimRight(key, "_-.")
	i := len(key)
	for i > 0 {
		c := key[i-1]
		if c == '_' || c == '-' || c == '.' {
			break
		}
		i--
		// A capital begins a word, unless it follows another one: apiKey, DBPassword, API_KEY.
		if isUpper(c) && i > 0 && (!isUpper(key[i-1]) || i+1 < len(key) && isLower(key[i+1])) {
			break
		}
	}
	return key[i:], key[:i]
}

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }
func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func isKeyByte(c byte) bool {
	return isLower(c) || isUpper(c) || isDigit(c) || c == '_' || c == '-' || c == '.'
}
