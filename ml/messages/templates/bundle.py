"""What is wrong with a bundle: its files, its signature, its graph, its own examples."""

from ml.messages.message import N_

TEMPLATES = {
    "bundle.no_common_key": N_(
        "storage.url is set: machines that share no disk need one key to sign bundles with. Make it once with "
        "openssl ecparam -name prime256v1 -genkey -noout, set registry.signing_key on each worker to it or its file, "
        'and registry.trusted_keys on each service to its public half; or set registry.signatures to "off"'
    ),
    "bundle.not_sealable": N_("{file}: cannot be sealed, there is no {missing}"),
    "bundle.other_hash": N_("{file}: expected bundle SHA-256 {expected}, got {got}"),
    "bundle.manifest_too_large": N_("{file}: larger than {limit} bytes: not a manifest of this project"),
    "bundle.manifest_unreadable": N_("{file}: not a readable bundle manifest: {error}"),
    "bundle.other_format": N_("{file}: expected format {expected}, got {got}: made by another Refit"),
    "bundle.name_leaves": N_("{file}: file name {name} leaves the bundle"),
    "bundle.not_listed": N_("{file}: lists no {missing}"),
    "bundle.file_missing": N_("{file}: listed in {manifest} and not there"),
    "bundle.file_size": N_("{file}: expected {expected} bytes, got {got}: truncated or altered"),
    "bundle.file_altered": N_("{file}: expected SHA-256 {expected}, got {got}: altered"),
    "bundle.file_unlisted": N_("{file}: not listed in {manifest}"),
    "bundle.link": N_("{file}: a symbolic link has no place in a bundle"),
    "bundle.not_registered": N_("{file}: expected SHA-256 {expected}, got {got}: not the registered bundle"),
    "bundle.no_example": N_("{file}: no example to check the model with"),
    "bundle.shape": N_("{file}: expected probabilities of shape {expected}, got {got}"),
    "bundle.differs": N_(
        "{file}: its own examples differ by {worst:.2g} (at most {allowed:g} allowed): this machine does not compute "
        "what was judged"
    ),
    "bundle.sum": N_("{file}: probabilities of an example do not sum to 1"),
    "bundle.graph": N_(
        "{file}: expected inputs [{wanted:, }] and output 'probabilities', got [{inputs:, }] and [{outputs:, }]"
    ),
    "bundle.not_loaded": N_("{file}: ONNX Runtime cannot load it: {error}"),
    "bundle.unreadable": "{file}: {error}",
    "bundle.no_hash": N_("version {version} has no tag {tag}: it was not registered by Refit"),
    "bundle.gone": N_("version {version}: its artifact is not there any more: {error}"),
    "bundle.fitted_rows_gone": N_(
        "version {version}: the hashes of the rows that it was trained on are not there any more: {error}"
    ),
    "bundle.fitted_rows_altered": N_("version {version}: the hashes of the rows that it was trained on were altered"),
    "bundle.fitted_rows_not_there": N_(
        "{folder}: the hashes of the rows that the bundle was trained on are not there, or were altered; evaluate again"
    ),
    "bundle.no_pointer": N_("{file}: not a readable pointer: {error}"),
    "bundle.unknown_key": N_("{file}: signed by key {key}, which is not in {place}"),
    "bundle.no_key_name": N_("(unnamed)"),
    "bundle.forged": N_("{file}: not what key {key} signed: forged or altered"),
    "bundle.signed_for_another": N_("{file}: signed by key {key}, but for other files or another model"),
    "bundle.no_public_key": N_("{file}: expected a public key in PEM, got: {error}"),
    "bundle.public_curve": N_("{file}: expected a public key on the curve P-256"),
    "bundle.no_private_key": N_("{file}: expected a private key in PEM without a password, got: {error}"),
    "bundle.private_curve": N_("{file}: expected a private key on the curve P-256"),
    "bundle.signature_too_large": N_("{file}: larger than {limit} bytes: not a signature"),
    "bundle.not_signed": N_(
        "{file}: the bundle is not signed, and registry.signatures is 'required'; was it registered by Refit?"
    ),
    "bundle.signature_unreadable": N_("{file}: not a readable signature: {error}"),
    "bundle.background": N_("the summarised background does not fit the model and its background rows"),
    "bundle.explains_otherwise": N_(
        "the graph for explanations differs from the model by {worst:.2g} (allowed: {allowed:g})"
    ),
}
