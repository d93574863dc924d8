# The words of Phoenix are named here and not imported from its packages, so that formatting needs none of them.
words = [:attr, :slot, :plug, :live, :get, :post, :pipe_through, :socket, :live_sidekick]

[
  inputs: ["{mix,.formatter,dev,bench}.exs", "{config,lib,test}/**/*.{ex,exs}"],
  line_length: 120,
  locals_without_parens: for(word <- words, do: {word, :*})
]
