# A host of the test world as a container image, made by the same script as in the namespace world: KIND tells which.
#
# The base is no image that could be pulled, because none has both SSH servers, sudo and the tools of every kind, and
# nothing is installed here: scripts/base-image.sh makes it.
FROM landfall-base:local
ARG KIND
# Whose SSH host key it is. The key is in the image, because whoever pinned it is to meet it again after `down` and `up`.
ARG HOST
COPY provision/common.sh provision/pid1.sh provision/${KIND}.sh containers/start.sh /provision/
COPY unix /unix/
RUN sh "/provision/$KIND.sh" && \
    mv /provision/start.sh /etc/landfall-world/start && \
    ssh-keygen -q -t ed25519 -N '' -C "root@$HOST" -f /etc/ssh/ssh_host_ed25519_key && \
    rm -r /provision /unix
ENTRYPOINT ["/bin/sh", "/etc/landfall-world/start"]
