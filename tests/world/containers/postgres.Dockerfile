# PostgreSQL as a container image. The packages lie beside this file: scripts/base-image.sh fetches those that the base lacks.
FROM landfall-base:local
COPY packages /packages
# The database is made at the first start, with the password that is there then.
RUN mkdir /etc/postgresql-common && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf && \
    DEBIAN_FRONTEND=noninteractive dpkg --force-confold --install /packages/*.deb && \
    rm -r /packages
COPY postgres.sh /usr/local/bin/landfall-postgres
ENTRYPOINT ["/bin/sh", "/usr/local/bin/landfall-postgres"]
