# The words of Ecto are named here and not imported from its packages, so that formatting needs none of them.
[
  inputs: ["{mix,.formatter}.exs", "{config,lib,test}/**/*.{ex,exs}"],
  line_length: 120,
  locals_without_parens: [from: 2]
]
