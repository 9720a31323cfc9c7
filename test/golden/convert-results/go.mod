module waymark.test/convert-results

go 1.21

require github.com/containernetworking/cni v1.3.1
