package main

import "strings"

// edited changes one place of the good URL a row. The signature stays what it
// was: it is wrong then, but only STS could say so, and no rule before it asks.
func edited() ([]vector, error) {
	good, err := sign(request{})
	if err != nil {
		return nil, err
	}
	var out []vector
	for _, rows := range [][]edit{places, queries, signatures(good)} {
		for _, r := range rows {
			changed := good + r.with
			if r.old != end {
				if changed, err = replace(good, r.old, r.with); err != nil {
					return nil, err
				}
			}
			out = append(out, vector{name: r.name, token: encode(changed)})
		}
	}
	for _, r := range []struct{ name, url string }{
		{"v05-scheme-only", "https:"},
		{"v07-scheme-and-slashes-only", "https://"},
		{"v08-host-only", "https://" + host},
		{"v09-no-query", "https://" + host + "/"},
		{"v09-empty-query", "https://" + host + "/?"},
	} {
		out = append(out, vector{name: r.name, token: encode(r.url)})
	}
	return foreignPartitions(out)
}

// foreignPartitions adds tokens that are right in all but the partition of the
// verifier.
func foreignPartitions(out []vector) ([]vector, error) {
	for _, r := range []struct{ name, partition, host, region string }{
		{"v07-global-host-in-gov", "aws-us-gov", "sts.amazonaws.com", "us-east-1"},
		{"v07-global-host-in-china", "aws-cn", "sts.amazonaws.com", "us-east-1"},
		{"v07-plain-host-in-gov", "aws-us-gov", host, region},
		{"v07-gov-host-in-china", "aws-cn", "sts.us-gov-west-1.amazonaws.com", "us-gov-west-1"},
		{"v07-fips-label-in-gov", "aws-us-gov", "sts-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"},
		{"v07-china-region-under-com", "aws-cn", "sts.cn-north-1.amazonaws.com", "cn-north-1"},
		{"v07-china-region-under-api-aws", "aws-cn", "sts.cn-north-1.api.aws", "cn-north-1"},
		{"v07-europe-region-under-com", "aws-eusc", "sts.eusc-de-east-1.amazonaws.com", "eusc-de-east-1"},
		{"v07-gov-region-in-aws", "aws", "sts.us-gov-west-1.api.aws", "us-gov-west-1"},
	} {
		signed, err := sign(request{host: r.host, region: r.region})
		if err != nil {
			return nil, err
		}
		out = append(out, vector{name: r.name, partition: r.partition, token: encode(signed)})
	}
	return out, nil
}

// signatures break the rule about the signature, which differs with the URL.
func signatures(good string) []edit {
	const key = "X-Amz-Signature="
	_, sig, _ := strings.Cut(good, key)
	as := func(name, value string) edit { return edit{"v20-" + name, key + sig, key + value} }
	return []edit{
		{"v20-missing", "&" + key + sig, ""},
		as("63-digits", sig[1:]),
		as("65-digits", sig+"0"),
		as("128-digits", sig+sig),
		as("upper-case", strings.ToUpper(sig)),
		as("one-upper-case", "A"+sig[1:]),
		as("letter-g", "g"+sig[1:]),
		as("0x", "0x"+sig[2:]),
		as("base64", "L5zsU3m7iVfYhYFB0oQ1MXqKpT8kXkZ0m3c1s5vZ2gE%3D"),
		as("newline", sig+"%0A"),
		as("newline-in-its-length", sig[1:]+"%0A"),
		as("nul", sig[1:]+"%00"),
		as("space", sig[1:]+"+"),
		as("dashes", sig[:32]+"-"+sig[33:]),
		as("full-width-digit", "%EF%BC%91"+sig[1:]),
		as("full-width-in-its-length", "%EF%BC%91"+sig[3:]),
		as("escaped-twice", "%2561"+sig[1:]),
		as("word", "UNSIGNED"),
	}
}
