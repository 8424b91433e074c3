# Landfall as a command in a container. The binary is built outside, by `cargo build --release` on the machine that made
# the base, whose libc then fits.
FROM landfall-base:local
# A pattern may match nothing, and README.md is always there: so a binary that is missing is told in words.
COPY README.md targe[t]/releas[e]/landfal[l] /opt/landfall/
RUN test -x /opt/landfall/landfall || { \
        echo 'target/release/landfall is not there. Make it with: cargo build --release' >&2; exit 1; }; \
    /opt/landfall/landfall --version >/dev/null || { \
        echo 'target/release/landfall does not run on landfall-base. Build both on one machine: scripts/base-image.sh' >&2; exit 1; }; \
    ln -s /opt/landfall/landfall /usr/local/bin/
ENTRYPOINT ["landfall"]
CMD ["--help"]
