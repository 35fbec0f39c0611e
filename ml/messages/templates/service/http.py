"""What is wrong with the HTTP of a request: its head, its body's framing, its address, its packing."""

from ml.messages.message import N_

TEMPLATES = {
    "http.expectation": N_("the only expectation that can be met is 100-continue"),
    "http.head_too_large": N_("expected a request head of at most {limit} bytes"),
    "http.not_acceptable": N_("not an acceptable HTTP request: {error}"),
    "http.bare_line_feed": N_("a line feed without a carriage return in the request head"),
    "http.folded": N_("a header folded over two lines"),
    "http.no_host": N_("expected a Host header"),
    "http.transfer_coding": N_("the only transfer coding understood is chunked"),
    "http.length_digits": N_("a Content-Length of more digits than any body has"),
    "http.body_too_large": N_("expected a body of at most {limit} bytes, got {got}"),
    "http.body_larger": N_("expected a body of at most {limit} bytes, got more"),
    "http.body_not_kept": N_("the body cannot be kept: {error}; send it again later"),
    "http.chunk_line_without_end": N_("a chunk line without an end"),
    "http.chunk_line_end": N_("a chunk line that does not end in CR LF"),
    "http.chunk_too_long": N_("a chunk longer than it said"),
    "http.trailers": N_("trailers larger than any that are needed"),
    "http.chunk_size": N_("a chunk size that is not one"),
    "http.too_slow": N_("the request did not arrive in time"),
    "http.client_gone": N_("the client has gone; the rest was not scored"),
    "http.not_found": N_("there is nothing at this address"),
    "http.method_not_allowed": N_("this address does not take the method of the request"),
    "http.bad_request": N_("the request cannot be read"),
    "http.too_large": N_("the request is larger than this address takes"),
    "http.packed_form": N_("expected a form without Content-Encoding, got {got}"),
    "http.content_encoding": N_("expected Content-Encoding gzip, deflate or none, got {got}"),
    "http.not_packed": N_("expected a {encoding}-packed body: {error}"),
    "http.unpacked_too_large": N_("the body is larger, unpacked, than this route takes"),
    "http.cut_short": N_("expected a {encoding}-packed body, got one that is cut short"),
}
