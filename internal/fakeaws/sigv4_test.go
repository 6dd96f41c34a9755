package fakeaws

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The vectors are AWS's own: the Signature Version 4 test suite that AWS
// published, all for the key AKIDEXAMPLE, us-east-1, a service called "service"
// and 2015-08-30T12:36:00Z.
const suiteSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

func TestPublishedSignatures(t *testing.T) {
	const date = "Host:example.amazonaws.com\nX-Amz-Date:20150830T123600Z\n"
	tests := []struct {
		name, request, signed, want string
	}{
		{"get-vanilla", "GET / HTTP/1.1\n" + date, "host;x-amz-date",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"post-vanilla", "POST / HTTP/1.1\n" + date, "host;x-amz-date",
			"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		{"get-unreserved", "GET /-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz HTTP/1.1\n" + date, "host;x-amz-date",
			"07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
		{"get-vanilla-query-order-key-case", "GET /?Param2=value2&Param1=value1 HTTP/1.1\n" + date, "host;x-amz-date",
			"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		{"get-utf8", "GET /\u1234 HTTP/1.1\n" + date, "host;x-amz-date",
			"8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
		{"get-slash", "GET // HTTP/1.1\n" + date, "host;x-amz-date",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"get-relative", "GET /example/.. HTTP/1.1\n" + date, "host;x-amz-date",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"get-slashes", "GET //example// HTTP/1.1\n" + date, "host;x-amz-date",
			"9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
		{"get-header-value-trim", "GET / HTTP/1.1\nMy-Header1: value1\nMy-Header2: \"a   b   c\"\n" + date, "host;my-header1;my-header2;x-amz-date",
			"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		{"get-header-key-duplicate", "GET / HTTP/1.1\nMy-Header1:value2\nMy-Header1:value2\nMy-Header1:value1\n" + date, "host;my-header1;x-amz-date",
			"c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
		{"post-x-www-form-urlencoded", "POST / HTTP/1.1\nContent-Type:application/x-www-form-urlencoded\nContent-Length: 13\n" + date + "\nParam1=value1", "content-type;host;x-amz-date",
			"ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			head, body, _ := strings.Cut(tt.request, "\n\n")
			raw := strings.ReplaceAll(strings.TrimSpace(head), "\n", "\r\n") + "\r\n\r\n" + body
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
			if err != nil {
				t.Fatal(err)
			}
			c := &call{r: r, w: httptest.NewRecorder(), body: []byte(body)}
			if err := c.parseTarget(); err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", algorithm+" Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="+tt.signed+", Signature="+tt.want)
			auth, refusal := parseAuthorization(c)
			if refusal != nil {
				t.Fatal(refusal)
			}
			c.auth = auth
			canonical, ok := c.canonicalRequest()
			if !ok {
				t.Fatal("a signed header was not found")
			}
			if got := auth.sign(canonical, suiteSecret); got != tt.want {
				t.Errorf("signature %s, want %s, of\n%s", got, tt.want, canonical)
			}
		})
	}
}

// The example of AWS's guide to signing is a real IAM request, and is answered;
// with one digit of the signature changed it is refused for that.
func TestGuideExample(t *testing.T) {
	const want = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
	s := New(Config{Now: func() time.Time { return time.Date(2015, 8, 30, 12, 40, 0, 0, time.UTC) }})
	if _, err := s.AddUser(User{Account: "111122223333", Name: "guide", Key: Key{AccessKeyID: "AKIDEXAMPLEAKIDEXAMPLE", SecretAccessKey: suiteSecret}}); err != nil {
		t.Fatal(err)
	}
	for signature, answer := range map[string]string{want: "<UserName>guide</UserName>", "6" + want[1:]: "<Code>SignatureDoesNotMatch</Code>"} {
		r := httptest.NewRequest(http.MethodGet, "/?Action=ListUsers&Version=2010-05-08", nil)
		r.Host = "iam.amazonaws.com"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		r.Header.Set("X-Amz-Date", "20150830T123600Z")
		r.Header.Set("Authorization", algorithm+" Credential=AKIDEXAMPLEAKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature="+signature)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if !strings.Contains(w.Body.String(), answer) {
			t.Errorf("signature %s… got %d %s, want %s", signature[:4], w.Code, w.Body, answer)
		}
	}
}

// A list of signed headers in any but the one canonical spelling is refused
// before the signature is looked at: whoever signs could sign that spelling too.
func TestSignedHeadersSpelling(t *testing.T) {
	for list, good := range map[string]bool{
		"host;x-k8s-aws-id": true, "x-k8s-aws-id;host": false, "host;host": false, "Host;x-k8s-aws-id": false, "HOST": false,
	} {
		_, err := newAuthorization("AKIAEXAMPLEEXAMPLE00/20260314/eu-west-1/sts/aws4_request", list, "0", "20260314T150926Z", "", true)
		if (err == nil) != good {
			t.Errorf("%s: %v", list, err)
		}
	}
}

func TestAWSHost(t *testing.T) {
	tests := []struct {
		host, service, region string
	}{
		{"sts.amazonaws.com", "sts", "us-east-1"},
		{"sts.eu-west-1.amazonaws.com", "sts", "eu-west-1"},
		{"sts.eu-west-1.amazonaws.com:443", "sts", "eu-west-1"},
		{"sts-fips.us-west-2.amazonaws.com", "sts", "us-west-2"},
		{"sts.eu-west-1.api.aws", "sts", "eu-west-1"},
		{"sts.cn-north-1.amazonaws.com.cn", "sts", "cn-north-1"},
		{"sts.cn-north-1.api.amazonwebservices.com.cn", "sts", "cn-north-1"},
		{"sts.eusc-de-east-1.amazonaws.eu", "sts", "eusc-de-east-1"},
		{"eks.us-west-2.amazonaws.com", "eks", "us-west-2"},
		{"ec2.us-west-2.amazonaws.com", "ec2", "us-west-2"},
		{"ec2.us-west-2.api.aws", "ec2", "us-west-2"},
		{"fips.eks.us-west-2.amazonaws.com", "eks", "us-west-2"},
		{"iam.amazonaws.com", "iam", "us-east-1"},
		{"iam.us-gov.amazonaws.com", "iam", "us-gov-west-1"},
		{"iam.cn-north-1.amazonaws.com.cn", "iam", "cn-north-1"},
		{"127.0.0.1:4566", "", ""},
		{"localhost", "", ""},
		{"sts.evil.com", "", ""},
		{"sts.us-east-1.amazonaws.com.evil.com", "", ""},
		{"sts.a.b.amazonaws.com", "", ""},
		{"s3.us-east-1.amazonaws.com", "", ""},
	}
	for _, tt := range tests {
		service, region, ok := awsHost(tt.host)
		if service != tt.service || region != tt.region || ok != (tt.service != "") {
			t.Errorf("awsHost(%q) = %q, %q, %t, want %q, %q", tt.host, service, region, ok, tt.service, tt.region)
		}
	}
}

func TestMatchWildcard(t *testing.T) {
	tests := []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"*", "x", true}, {"eks:*", "eks:describecluster", true}, {"eks:*", "sts:assumerole", false},
		{"a*c*e", "abcde", true}, {"a*c*e", "abcdf", false}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"", "", true}, {"", "x", false},
	}
	for _, tt := range tests {
		if got := matchWildcard(tt.pattern, tt.s); got != tt.want {
			t.Errorf("matchWildcard(%q, %q) = %t", tt.pattern, tt.s, got)
		}
	}
}
