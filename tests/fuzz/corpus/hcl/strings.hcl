node_name = <<-END
    heredoc ${ not "touched" }
      more
    END
datacenter = "\x41\101\u00e9\U0001F600 ${ {} }" // comment
/* block
   comment */
service "web" "v1" { port = 80 tags = ["a", {b = [1, 2]}] }
telemetry { disable_hostname = true }
